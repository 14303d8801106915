//! What was published last on each topic, as a list and as a tree.

import type { TopicMessage } from './types';

export interface Topic extends TopicMessage {
  /** How many messages were seen. */
  seen: number;
}

export interface Row {
  /** The whole topic down to here. */
  path: string;
  /** The last level of it. */
  name: string;
  depth: number;
  /** Topics below this one, itself left out. */
  below: number;
  open: boolean;
  topic: Topic | null;
}

interface Node {
  name: string;
  path: string;
  topic: Topic | null;
  children: Map<string, Node>;
  /** The children in order, until one comes. */
  sorted: Node[] | null;
}

const empty = (name: string, path: string): Node => ({ name, path, topic: null, children: new Map(), sorted: null });

/** More topics than this are not kept: a flood of names must not fill the browser. */
export const MOST_TOPICS = 20_000;

export class TopicTable {
  private readonly byName = new Map<string, Topic>();
  private root = empty('', '');
  private sorted: Topic[] | null = null;

  get size(): number {
    return this.byName.size;
  }

  get(topic: string): Topic | undefined {
    return this.byName.get(topic);
  }

  /** Takes a message; one that is older than what is known counts only. Whether there was room. */
  take(message: TopicMessage, count = 1): boolean {
    const known = this.byName.get(message.topic);
    if (known) {
      const newer = message.at_ms >= known.at_ms;
      Object.assign(known, newer ? message : {}, { seen: known.seen + count });
      return true;
    }
    if (this.byName.size >= MOST_TOPICS) return false;
    const topic: Topic = { ...message, seen: count };
    this.byName.set(topic.topic, topic);
    this.sorted = null;
    let node = this.root;
    let path = '';
    message.topic.split('/').forEach((level, depth) => {
      path = depth === 0 ? level : `${path}/${level}`;
      let next = node.children.get(level);
      if (!next) {
        node.children.set(level, (next = empty(level, path)));
        node.sorted = null;
      }
      node = next;
    });
    node.topic = topic;
    return true;
  }

  clear(): void {
    this.byName.clear();
    this.root = empty('', '');
    this.sorted = null;
  }

  /** All topics in order, each a row. */
  list(): Row[] {
    this.sorted ??= [...this.byName.values()].sort((a, b) => compare(a.topic, b.topic));
    return this.sorted.map((topic) => ({ path: topic.topic, name: topic.topic, depth: 0, below: 0, open: false, topic }));
  }

  /** The tree as rows; of a level that is closed only itself. */
  tree(closed: ReadonlySet<string>): Row[] {
    const rows: Row[] = [];
    const visit = (node: Node, depth: number): number => {
      const row: Row = {
        path: node.path, name: node.name, depth, below: 0, open: !closed.has(node.path), topic: node.topic,
      };
      rows.push(row);
      const start = rows.length;
      for (const child of inOrder(node)) row.below += visit(child, depth + 1);
      if (!row.open) rows.length = start;
      return row.below + (node.topic ? 1 : 0);
    };
    for (const child of inOrder(this.root)) visit(child, 0);
    return rows;
  }
}

const collator = new Intl.Collator('en', { numeric: true });
const compare = (a: string, b: string): number => collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);

const inOrder = (node: Node): Node[] =>
  (node.sorted ??= [...node.children.values()].sort((a, b) => compare(a.name, b.name)));

/** Whether something could be published to it. */
export const isTopic = (topic: string): boolean =>
  topic !== '' && !/[+#\0]/.test(topic) && new TextEncoder().encode(topic).length <= 65_535;

/** Whether it is a filter: `#` alone at the end, `+` alone in its level. */
export const isFilter = (filter: string): boolean =>
  filter !== '' &&
  !filter.includes('\0') &&
  filter.split('/').every((level, index, all) =>
    level.includes('#') ? level === '#' && index === all.length - 1 : !level.includes('+') || level === '+');

/** The number of bytes that a base64 text stands for. */
export const base64Length = (text: string): number =>
  Math.floor((text.length * 3) / 4) - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0);

/** JSON with its lines, anything else as it is. */
export function pretty(payload: string): string {
  if (!/^\s*[{[]/.test(payload)) return payload;
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}
