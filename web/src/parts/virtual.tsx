//! A long list of which only what is seen exists. Rows are of one height.

import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface Seen {
  first: number;
  last: number;
}

/** Which rows of a list are on the screen, with some above and below. */
export function seenRows(top: number, height: number, rowHeight: number, rows: number, spare: number): Seen {
  const first = Math.max(0, Math.floor(-top / rowHeight) - spare);
  const last = Math.min(rows, Math.ceil((height - top) / rowHeight) + spare);
  return { first: Math.min(first, rows), last: Math.max(last, Math.min(first, rows)) };
}

export function Virtual<Item>(props: {
  items: readonly Item[];
  /** Height of a row with the space below it. */
  rowHeight: number;
  /** A column is at least so wide; absent: there is one. */
  columnWidth?: number;
  gap: number;
  label: string;
  id: (item: Item) => string;
  render: (item: Item, index: number) => JSX.Element;
}): JSX.Element {
  const list = useRef<HTMLUListElement>(null);
  const [columns, setColumns] = useState(1);
  const [seen, setSeen] = useState<Seen>({ first: 0, last: 12 });
  const rows = Math.ceil(props.items.length / columns);

  useLayoutEffect(() => {
    const measure = (): void => {
      const element = list.current;
      if (!element) return;
      const next = props.columnWidth
        ? Math.max(1, Math.floor((element.clientWidth + props.gap) / (props.columnWidth + props.gap)))
        : 1;
      setColumns(next);
      const box = element.getBoundingClientRect();
      const now = seenRows(box.top, innerHeight, props.rowHeight, Math.ceil(props.items.length / next), 3);
      setSeen((before) => (before.first === now.first && before.last === now.last ? before : now));
    };
    let asked = false;
    const soon = (): void => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        measure();
      });
    };
    measure();
    addEventListener('scroll', soon, { passive: true });
    const observer = new ResizeObserver(soon);
    observer.observe(document.documentElement);
    return () => {
      removeEventListener('scroll', soon);
      observer.disconnect();
    };
  }, [props.items.length, props.rowHeight, props.columnWidth, props.gap]);

  const from = seen.first * columns;
  const shown = props.items.slice(from, seen.last * columns);
  return (
    <ul
      ref={list}
      class="virtual"
      aria-label={props.label}
      style={{ height: `${Math.max(0, rows * props.rowHeight - props.gap)}px` }}
    >
      {shown.map((item, offset) => {
        const index = from + offset;
        const row = Math.floor(index / columns);
        const column = index % columns;
        return (
          <li
            key={props.id(item)}
            aria-setsize={props.items.length}
            aria-posinset={index + 1}
            style={{
              height: `${props.rowHeight - props.gap}px`,
              width: columns === 1 ? '100%' : `calc((100% - ${(columns - 1) * props.gap}px) / ${columns})`,
              transform: `translate(calc(${column * 100}% + ${column * props.gap}px), ${row * props.rowHeight}px)`,
            }}
          >
            {props.render(item, index)}
          </li>
        );
      })}
    </ul>
  );
}
