import { describe, expect, test } from 'vitest';
import { matcher } from '../mock/server.mjs';
import { base64Length, isFilter, isTopic, MOST_TOPICS, pretty, TopicTable } from '../src/topics';
import type { TopicMessage } from '../src/types';

const message = (topic: string, payload = 'x', at_ms = 1): TopicMessage => ({ topic, payload, base64: null, qos: 0, retain: false, at_ms });
const shape = (table: TopicTable, ...closed: string[]): string[] =>
  table.tree(new Set(closed)).map((row) => `${' '.repeat(row.depth)}${row.name}${row.topic ? '*' : ''}${row.below ? ` ${row.below}` : ''}`);

describe('topics', () => {
  test('as a tree', () => {
    const table = new TopicTable();
    for (const topic of ['a/n10/t', 'a/n9/t', 'a', 'b/c', 'a/n9/h']) table.take(message(topic));
    expect(shape(table)).toEqual(['a* 3', ' n9 2', '  h*', '  t*', ' n10 1', '  t*', 'b 1', ' c*']);
    expect(shape(table, 'a/n9', 'b')).toEqual(['a* 3', ' n9 2', ' n10 1', '  t*', 'b 1']);
    expect(table.list().map(({ name }) => name)).toEqual(['a', 'a/n9/h', 'a/n9/t', 'a/n10/t', 'b/c']);
  });

  // Levels may be empty, and topics may have the names of what every object has.
  test('of odd names', () => {
    const table = new TopicTable();
    for (const topic of ['/', '//a', '__proto__/constructor', 'toString']) expect(table.take(message(topic))).toBe(true);
    expect(table.list().map(({ name }) => name).sort()).toEqual(['/', '//a', '__proto__/constructor', 'toString'].sort());
    expect(table.tree(new Set()).filter((row) => row.topic).map((row) => row.path).sort()).toEqual(['/', '//a', '__proto__/constructor', 'toString'].sort());
  });

  // What the hub remembers comes later than what it told live, and is older.
  test('what is older does not replace what is newer', () => {
    const table = new TopicTable();
    table.take(message('a', 'new', 2));
    table.take(message('a', 'old', 1), 0);
    expect(table.get('a')).toMatchObject({ payload: 'new', seen: 1 });
  });

  // A device that makes up names would fill the browser's memory.
  test('are bounded', () => {
    const table = new TopicTable();
    for (let n = 0; n < MOST_TOPICS; n += 1) table.take(message(`t${n}`));
    expect(table.take(message('one more'))).toBe(false);
    expect(table.take(message('t1', 'y', 5))).toBe(true);
    expect(table.size).toBe(MOST_TOPICS);
  });

  test('filters and topics are told apart', () => {
    for (const good of ['#', '+', 'a/#', '+/b', 'a/+/c', '/', '$SYS/#', 'ą']) expect(isFilter(good), good).toBe(true);
    for (const bad of ['', 'a#', '#/a', 'a/b+', 'a/#/c', 'a\0']) expect(isFilter(bad), bad).toBe(false);
    for (const good of ['a', '/', 'a b', 'ą/č']) expect(isTopic(good), good).toBe(true);
    for (const bad of ['', 'a/+', '#', 'a\0', 'x'.repeat(65_536)]) expect(isTopic(bad), bad.slice(0, 9)).toBe(false);
  });

  test('payloads', () => {
    expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(pretty('{"a":')).toBe('{"a":');
    expect(pretty('24.1')).toBe('24.1');
    expect([btoa(''), btoa('a'), btoa('ab'), btoa('abc')].map(base64Length)).toEqual([0, 1, 2, 3]);
  });

  test('the made-up hub filters as a broker does', () => {
    expect(matcher('#')('a/b')).toBe(true);
    expect(matcher('a/#')('a')).toBe(true);
    expect(matcher('a/+')('a/b/c')).toBe(false);
    expect(matcher('+/b')('a/b')).toBe(true);
    expect(matcher('a')('a/b')).toBe(false);
  });
});
