import { describe, expect, test } from 'vitest';
import { byteLength, latest, steps, withMessage, withNews } from '../src/messages';
import type { Message, MessageNews } from '../src/types';

const news = (state: string | undefined, at_ms: number, more: Partial<MessageNews> = {}): MessageNews =>
  ({ key: 'k', id: '1', at_ms, ...(state === undefined ? { text: 'hi', from: 'hub' } : { state }), ...more });
const after = (...all: MessageNews[]): Message => all.reduce<Message[]>(withNews, [])[0]!;
const line = (message: Message): string =>
  steps(message).map((step) => `${step.bad ? '!' : ''}${step.state}${step.reached ? '' : '?'}`).join(' ');

describe('a message', () => {
  test('goes its way', () => {
    expect(line(after(news(undefined, 1)))).toBe('sent received? shown? read?');
    expect(line(after(news(undefined, 1), news('received', 2)))).toBe('sent received shown? read?');
    expect(line(after(news(undefined, 1), news('received', 2), news('shown', 3), news('read', 4)))).toBe('sent received shown read');
  });

  // A device without a screen leaves `shown` out: the message would look as if it hung there.
  test('a later state says that the earlier ones were', () => {
    expect(line(after(news(undefined, 1), news('read', 4)))).toBe('sent received shown read');
    expect(steps(after(news(undefined, 1), news('read', 4)))[1]!.at_ms).toBeNull();
  });

  test('ends otherwise', () => {
    expect(line(after(news(undefined, 1), news('refused', 2, { reason: 'no text' })))).toBe('sent !refused');
    expect(line(after(news(undefined, 1), news('received', 2), news('expired', 9)))).toBe('sent received !expired');
    expect(line(after(news(undefined, 1), news('received', 2), news('replaced', 9)))).toBe('sent received !replaced');
  });

  // After a restart a device says `received` again: the message would go back.
  test('an earlier state that comes again changes nothing', () => {
    const message = after(news(undefined, 1), news('received', 2), news('read', 3), news('received', 9));
    expect(latest(message)!.state).toBe('read');
    expect(message.states.length).toBe(2);
  });

  // The state is often faster than the answer to the request that sent the message.
  test('a state that is faster than its message is kept', () => {
    const list = withMessage(withNews([], news('received', 2)), { id: '1', from: null, text: 'hi', at_ms: 1, states: [] });
    expect(list).toEqual([{ id: '1', from: null, text: 'hi', at_ms: 1, states: [{ state: 'received', at_ms: 2, reason: null }] }]);
  });

  test('the newest is first, and none is there twice', () => {
    let list: Message[] = [];
    for (const [id, at] of [['a', 1], ['c', 3], ['b', 2], ['c', 3]] as const) list = withNews(list, news(undefined, at, { id }));
    expect(list.map(({ id }) => id)).toEqual(['c', 'b', 'a']);
  });

  // Others send without an id: all of them would be one message, and a state would be anybody's.
  test('without an id is its own', () => {
    let list: Message[] = [];
    for (const [text, at] of [['a', 1], ['b', 2], ['b', 2]] as const) list = withNews(list, news(undefined, at, { id: null, text }));
    list = withNews(list, news('read', 3, { id: null }));
    expect(list.map(({ text, states }) => [text, states.length])).toEqual([['b', 0], ['a', 0]]);
  });

  // 256 characters of Lithuanian or emoji are more than 256 bytes.
  test('is measured in bytes', () => {
    expect(byteLength('ąčę')).toBe(6);
    expect(byteLength('🔦')).toBe(4);
  });
});
