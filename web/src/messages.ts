//! A message's way: sent, received, shown, read; or expired, refused, replaced.

import type { Message, MessageNews, StateOf } from './types';

const ORDER = ['received', 'shown', 'read'];
const ENDS = ['expired', 'refused', 'replaced'];

const rank = (state: string): number => {
  if (ENDS.includes(state) || state === 'read') return ORDER.length;
  return ORDER.indexOf(state) + 1;
};

/** What is known last. A state may come again, and after a restart an earlier one may be told again. */
export function latest(message: Message): StateOf | null {
  let last: StateOf | null = null;
  for (const state of message.states) if (!last || rank(state.state) > rank(last.state)) last = state;
  return last;
}

export interface Step {
  state: string;
  at_ms: number | null;
  reached: boolean;
  bad: boolean;
  reason: string | null;
}

/** The steps to be drawn: those that came, and those that may still. */
export function steps(message: Message): Step[] {
  const first = (name: string): StateOf | undefined => message.states.find((state) => state.state === name);
  const end = message.states.find((state) => ENDS.includes(state.state));
  const last = latest(message);
  const reached = last ? rank(last.state) : 0;
  const line: Step[] = [{ state: 'sent', at_ms: message.at_ms, reached: true, bad: false, reason: null }];
  for (const name of ORDER) {
    const at = first(name);
    // A device may leave states out, but a later one says that the earlier ones were.
    const passed = at !== undefined || (!end && rank(name) < reached);
    if (end && !at) continue;
    line.push({ state: name, at_ms: at?.at_ms ?? null, reached: passed, bad: false, reason: null });
  }
  if (end) line.push({ state: end.state, at_ms: end.at_ms, reached: true, bad: true, reason: end.reason });
  return line;
}

/** Which message it is. One without an id is known by its time and text: no state will ever name it. */
export const nameOf = ({ id, at_ms, text }: Message): string => id ?? `${at_ms} ${text}`;

/** The list with one more message, newest first; one that is known is completed. */
export function withMessage(list: Message[], message: Message): Message[] {
  const known = list.find((other) => nameOf(other) === nameOf(message));
  if (!known) return [message, ...list].sort((a, b) => b.at_ms - a.at_ms);
  const states = [...known.states];
  for (const state of message.states) addState(states, state);
  const merged = { ...message, text: message.text || known.text, from: message.from ?? known.from, states };
  return list.map((other) => (other === known ? merged : other));
}

function addState(states: StateOf[], state: StateOf): void {
  if (!states.some((other) => other.state === state.state)) states.push(state);
}

/** The list after what was told live. A state of a message that is not known waits under its id. */
export function withNews(list: Message[], news: MessageNews): Message[] {
  if (news.state === undefined) {
    return withMessage(list, {
      id: news.id, from: news.from ?? null, text: news.text ?? '', at_ms: news.at_ms, states: [],
    });
  }
  if (news.id === null) return list;
  const state: StateOf = { state: news.state, at_ms: news.at_ms, reason: news.reason ?? null };
  const known = list.find((message) => message.id === news.id);
  if (!known) return withMessage(list, { id: news.id, from: null, text: '', at_ms: news.at_ms, states: [state] });
  const states = [...known.states];
  addState(states, state);
  return list.map((message) => (message === known ? { ...known, states } : message));
}

const encoder = new TextEncoder();
export const MAX_TEXT = 256;
export const byteLength = (text: string): number => encoder.encode(text).length;
