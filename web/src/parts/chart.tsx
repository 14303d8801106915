//! The history of a device: temperature and humidity, each with its band of lowest and highest.

import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { api, told } from '../api';
import { hubNow } from '../clock';
import * as format from '../format';
import { isCurrent, live, resync } from '../hub';
import { locale, measured, t, whole } from '../i18n';
import { keep, recall } from '../stored';
import { repaint } from '../theme';
import type { ChartData, Outage, Reading } from '../types';
import { Choice, Icon } from './basic';
import { append, DAY, extremesOf, HOUR, levelOf, moments } from './series';
import {
  follows, padded, pan, RANGES, rangeWindow, serves, spanOf, within, zoom, type Bounds, type Range, type Window,
} from './window';

type Columns = [number[], ...(number | null)[][]];
interface Loaded {
  window: Window;
  data: ChartData;
}

/** A fetch waits so long for the fingers to rest. */
const REST_MS = 120;
/** How often a chart of means that shows the present is fetched anew. */
const REFRESH_MS = 60_000;
const MOST_POINTS = 6000;

const columns = (data: ChartData): Columns => [data.at_ms, data.t, data.t_min, data.t_max, data.h, data.h_min, data.h_max];

/** The colour that a custom property stands for now. */
function colour(name: string): string {
  const probe = document.createElement('i');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const faint = (rgb: string, alpha: number): string => {
  const parts = rgb.match(/[\d.]+/g) ?? ['0', '0', '0'];
  return `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${alpha})`;
};

/** A scale that fits what is seen, and never makes mountains of noise. */
function fitted(least: number): uPlot.Range.Function {
  return (_plot, low, high) => {
    if (low == null || high == null || !Number.isFinite(low)) return [0, least];
    const room = Math.max((high - low) * 0.08, (least - (high - low)) / 2, 0.1);
    return [low - room, high + room];
  };
}

export function Chart(props: { id: string; firstMs: number; outages: Outage[] }): JSX.Element {
  const { id } = props;
  const help = useId();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const loaded = useRef<Loaded | null>(null);
  const window_ = useSignal<Window>(rangeWindow('day', { first: props.firstMs, now: hubNow() }));
  const range = useSignal<Range | null>('day');
  const following = useRef(true);
  const shown = useSignal<ChartData | null>(null);
  const cursor = useSignal<number | null>(null);
  const problem = useSignal<string | null>(null);
  const busy = useSignal(false);
  const outages = useRef(props.outages);
  outages.current = props.outages;

  const bounds = (): Bounds => ({ first: Math.min(props.firstMs, hubNow() - HOUR), now: hubNow() });

  function show(next: Window, chosen: Range | null = null): void {
    window_.value = next;
    range.value = chosen;
    following.current = follows(next, hubNow());
    plot.current?.setScale('x', { min: next.from, max: next.to });
    ask();
  }

  // Fetching: one at a time, the newest wish wins.
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const flight = useRef<AbortController | null>(null);
  const stale = useRef(false);
  function ask(force = false): void {
    clearTimeout(timer.current);
    const limits = bounds();
    stale.current ||= force;
    if (!stale.current && loaded.current && serves(loaded.current.window, window_.peek(), limits)) {
      // What is under way was for a window that is not wished any more.
      flight.current?.abort();
      busy.value = false;
      return;
    }
    busy.value = true;
    timer.current = setTimeout(() => void load(), loaded.current ? REST_MS : 0);
  }
  async function load(): Promise<void> {
    flight.current?.abort();
    const abort = new AbortController();
    flight.current = abort;
    const wanted = padded(window_.peek(), bounds());
    const width = (box.current?.clientWidth ?? 400) * Math.min(2, devicePixelRatio);
    // A point for each pixel of the screen, and as many of what lies beside it.
    const points = Math.round(Math.min(2000, Math.max(200, width) * (spanOf(wanted) / spanOf(window_.peek()))));
    try {
      const data = await api.chart(id, wanted, points, abort.signal);
      problem.value = null;
      stale.current = false;
      take({ window: wanted, data });
      if (range.peek() === 'day') void keep(`chart:${id}`, { window: wanted, data });
    } catch (error) {
      if (abort.signal.aborted) return;
      problem.value = told(error);
    }
    if (flight.current === abort) busy.value = false;
  }
  function take(next: Loaded): void {
    loaded.current = next;
    shown.value = next.data;
    const now = window_.peek();
    plot.current?.batch(() => {
      plot.current?.setData(columns(next.data), false);
      plot.current?.setScale('x', { min: now.from, max: now.to });
    });
  }

  // The first picture, and one after each gap in what we know.
  const missed = resync.value;
  useEffect(() => {
    if (isCurrent()) {
      ask(true);
      return undefined;
    }
    let gone = false;
    void recall<Loaded>(`chart:${id}`).then((kept) => {
      if (gone || !kept || loaded.current) return;
      take(kept);
      show({ from: Math.max(kept.window.from, kept.window.to - DAY), to: kept.window.to }, null);
    });
    return () => {
      gone = true;
    };
  }, [id, missed]);

  // What is measured now is drawn now; means are fetched anew now and then.
  useEffect(() => {
    let late: ReturnType<typeof setTimeout> | undefined;
    const off = live.on('reading', (value) => {
      const reading = value as Reading;
      const now = loaded.current;
      if (reading.key !== id || !now) return;
      const last = now.data.at_ms.at(-1) ?? 0;
      if (now.data.level === 'raw' && !reading.late && reading.taken_ms > last) {
        // What was loaded reaches the present only while it is followed.
        if (now.window.to < last && !following.current) return;
        append(now.data, reading);
        now.window = { from: now.window.from, to: Math.max(now.window.to, reading.taken_ms) };
        shown.value = { ...now.data };
        // A page that stays open for days gathers each reading: the hub's points are fewer.
        if (now.data.at_ms.length > MOST_POINTS) ask(true);
        plot.current?.setData(columns(now.data), false);
        move();
      } else if (reading.late && reading.taken_ms >= now.window.from && late === undefined) {
        late = setTimeout(() => {
          late = undefined;
          ask(true);
        }, 2000);
      }
    });
    const move = (): void => {
      if (!following.current || document.visibilityState !== 'visible') return;
      const span = spanOf(window_.peek());
      const to = hubNow();
      window_.value = { from: to - span, to };
      plot.current?.setScale('x', { min: to - span, max: to });
    };
    const slide = setInterval(move, 5000);
    const refresh = setInterval(() => {
      if (following.current && loaded.current?.data.level !== 'raw' && isCurrent()) ask(true);
    }, REFRESH_MS);
    return () => {
      off();
      clearTimeout(late);
      clearInterval(slide);
      clearInterval(refresh);
    };
  }, [id]);

  useEffect(() => () => {
    clearTimeout(timer.current);
    flight.current?.abort();
  }, []);

  // The picture. It is made anew with other colours or another language.
  const paint = repaint.value;
  const language = locale.value;
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const accent = colour('accent');
    const second = colour('second');
    const text = colour('quiet');
    const grid = colour('line');
    const shade = colour('shade');
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const numbers = (_plot: uPlot, values: number[]): string[] => {
      const whole_ = values.every((value) => Number.isInteger(value));
      return values.map((value) => (whole_ ? format.decimal(language, value, 0) : format.measured(language, value)));
    };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: heightFor(element),
        ms: 1,
        legend: { show: false },
        padding: [12, 4, 0, 4],
        cursor: {
          points: { size: 7, width: 2, fill: colour('card') },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => (zoomBy(2), null) },
        },
        scales: { x: { time: true }, t: { range: fitted(1) }, h: { range: fitted(4) } },
        axes: [
          { ...axis, space: 64, size: 28, values: (_plot, splits, _axis, _space, step) => moments(language, splits, step) },
          { ...axis, scale: 't', size: 44, space: 40, values: numbers },
          { ...axis, scale: 'h', side: 1, size: 40, space: 40, grid: { show: false }, values: numbers },
        ],
        series: [
          {},
          { scale: 't', stroke: accent, width: 2, points: { show: lonely } },
          { scale: 't', stroke: 'transparent', points: { show: false } },
          { scale: 't', stroke: 'transparent', points: { show: false } },
          { scale: 'h', stroke: second, width: 1.5, points: { show: lonely } },
          { scale: 'h', stroke: 'transparent', points: { show: false } },
          { scale: 'h', stroke: 'transparent', points: { show: false } },
        ],
        bands: [
          { series: [3, 2], fill: faint(accent, 0.18) },
          { series: [6, 5], fill: faint(second, 0.16) },
        ],
        hooks: {
          drawClear: [
            (self) => {
              const { ctx, bbox } = self;
              ctx.save();
              ctx.fillStyle = shade;
              for (const outage of outages.current) {
                const from = Math.max(self.valToPos(outage.from_ms, 'x', true), bbox.left);
                const to = Math.min(self.valToPos(outage.to_ms ?? hubNow(), 'x', true), bbox.left + bbox.width);
                if (to > from) ctx.fillRect(from, bbox.top, Math.max(to - from, 1), bbox.height);
              }
              ctx.restore();
            },
          ],
          setSelect: [
            (self) => {
              const { left, width } = self.select;
              if (width < 6) return;
              const from = self.posToVal(left, 'x');
              const to = self.posToVal(left + width, 'x');
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              show(within({ from, to }, bounds()));
            },
          ],
          setCursor: [
            (self) => {
              cursor.value = self.cursor.left != null && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null;
            },
          ],
        },
      },
      columns(loaded.current?.data ?? EMPTY),
      element,
    );
    plot.current = made;
    made.setScale('x', { min: window_.peek().from, max: window_.peek().to });
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: heightFor(element) }));
    observer.observe(element);
    const off = [wheel(made), touch(made)];
    return () => {
      observer.disconnect();
      for (const remove of off) remove();
      made.destroy();
      plot.current = null;
    };
  }, [id, paint, language]);

  useEffect(() => plot.current?.redraw(false), [props.outages]);

  function zoomBy(factor: number, around?: number): void {
    const now = window_.peek();
    // The present stays at the edge where it is followed.
    const middle = around ?? (following.current ? now.to : (now.from + now.to) / 2);
    show(zoom(now, factor, middle, bounds()));
  }
  const panBy = (part: number): void => show(pan(window_.peek(), part, bounds()));

  function wheel(made: uPlot): () => void {
    const turn = (event: WheelEvent): void => {
      // The page must be able to scroll past: zooming takes Ctrl (a pinch on a touchpad), or the focus.
      const focused = document.activeElement === box.current;
      if (!event.ctrlKey && !event.metaKey && !focused) return;
      event.preventDefault();
      const { left } = made.over.getBoundingClientRect();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) panBy(event.deltaX / made.over.clientWidth);
      else zoomBy(Math.exp(event.deltaY / 300), made.posToVal(event.clientX - left, 'x'));
    };
    made.over.addEventListener('wheel', turn, { passive: false });
    return () => made.over.removeEventListener('wheel', turn);
  }

  /** One finger moves, two zoom; up and down scrolls the page, which CSS leaves to the browser. */
  function touch(made: uPlot): () => void {
    const fingers = new Map<number, number>();
    let start: { window: Window; at: number[] } | null = null;
    const begin = (): void => {
      start = { window: window_.peek(), at: [...fingers.values()] };
    };
    const width = (): number => Math.max(1, made.over.clientWidth);
    const x = (event: PointerEvent): number => event.clientX - made.over.getBoundingClientRect().left;
    const down = (event: PointerEvent): void => {
      if (event.pointerType === 'mouse' || fingers.size >= 2) return;
      fingers.set(event.pointerId, x(event));
      begin();
    };
    const moved = (event: PointerEvent): void => {
      if (!start || !fingers.has(event.pointerId)) return;
      fingers.set(event.pointerId, x(event));
      const [a, b] = fingers.values();
      const [startA, startB] = start.at;
      const span = spanOf(start.window);
      if (a === undefined || startA === undefined) return;
      if (b === undefined || startB === undefined) {
        if (Math.abs(a - startA) > 4) show(pan(start.window, (startA - a) / width(), bounds()));
        return;
      }
      const factor = Math.max(20, Math.abs(startA - startB)) / Math.max(20, Math.abs(a - b));
      // The moment that was between the fingers stays between them.
      const moment = start.window.from + (((startA + startB) / 2) / width()) * span;
      const from = moment - (((a + b) / 2) / width()) * span * factor;
      show(within({ from, to: from + span * factor }, bounds()));
    };
    const up = (event: PointerEvent): void => {
      fingers.delete(event.pointerId);
      if (fingers.size > 0) begin();
      else start = null;
    };
    const listeners = { pointerdown: down, pointermove: moved, pointerup: up, pointercancel: up } as const;
    for (const [kind, listener] of Object.entries(listeners)) made.over.addEventListener(kind as 'pointerdown', listener);
    return () => {
      for (const [kind, listener] of Object.entries(listeners)) made.over.removeEventListener(kind as 'pointerdown', listener);
    };
  }

  function keyed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts: Record<string, () => void> = {
      ArrowLeft: () => panBy(-0.2),
      ArrowRight: () => panBy(0.2),
      PageUp: () => panBy(-1),
      PageDown: () => panBy(1),
      '+': () => zoomBy(0.5),
      '=': () => zoomBy(0.5),
      '-': () => zoomBy(2),
      Home: () => show(within({ from: props.firstMs, to: props.firstMs + spanOf(window_.peek()) }, bounds())),
      End: toNow,
      '0': () => choose('day'),
      Escape: () => choose('day'),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
  const toNow = (): void => show({ from: hubNow() - spanOf(window_.peek()), to: hubNow() }, range.peek());
  const choose = (chosen: Range): void => show(rangeWindow(chosen, bounds()), chosen);

  const now = window_.value;
  const extremes = useComputed(() => extremesOf(shown.value, window_.value));
  const ends = { from: whole(now.from), to: whole(now.to) };
  const seen = extremes.value;
  return (
    <section class="panel chart" aria-labelledby={`${help}-title`}>
      <div class="panel-head">
        <h2 id={`${help}-title`}>{t('chart.title')}</h2>
        <Choice
          label={t('chart.range')}
          value={range.value}
          onChange={choose}
          options={([...Object.keys(RANGES), 'all'] as Range[]).map((name) => [name, t(`chart.${name}`)] as const)}
        />
      </div>
      <Legend data={shown.value} index={cursor.value} />
      <div
        ref={box}
        class="plot"
        role="group"
        tabIndex={0}
        aria-label={t('chart.label', ends)}
        aria-describedby={help}
        aria-busy={busy.value}
        onKeyDown={keyed}
        data-from={Math.round(now.from)}
        data-to={Math.round(now.to)}
        data-points={shown.value?.at_ms.length ?? 0}
        data-last={shown.value?.at_ms.at(-1) ?? 0}
      >
        {shown.value !== null && seen === null && <p class="over">{t('chart.empty')}</p>}
        {shown.value === null && problem.value !== null && <p class="over">{t('chart.failed')}</p>}
      </div>
      <p class="sr" id={help}>
        {seen && t('chart.summary', seen)} {t('chart.help')}
      </p>
      <div class="row wrap">
        <div class="choice">
          <button type="button" aria-label={t('chart.earlier')} title={t('chart.earlier')} onClick={() => panBy(-0.5)}><Icon name="left" /></button>
          <button type="button" aria-label={t('chart.out')} title={t('chart.out')} onClick={() => zoomBy(2)}><Icon name="minus" /></button>
          <button type="button" aria-label={t('chart.in')} title={t('chart.in')} onClick={() => zoomBy(0.5)}><Icon name="plus" /></button>
          <button type="button" aria-label={t('chart.later')} title={t('chart.later')} onClick={() => panBy(0.5)}><Icon name="right" /></button>
          <button type="button" onClick={toNow}>{t('chart.now')}</button>
        </div>
        <a class="button push" href={api.csv(id, { from: Math.round(now.from), to: Math.round(now.to) })} download>
          <Icon name="download" />{t('chart.csv')}
        </a>
      </div>
      <p class="quiet small">
        {shown.value && t(`chart.level.${levelOf(shown.value)}`)}
        {props.outages.length > 0 && <> · {t('chart.outages')}</>}
        <span class="hint mouse"> · {t('chart.hint.mouse')}</span>
        <span class="hint touch"> · {t('chart.hint.touch')}</span>
      </p>
      {problem.value !== null && shown.value !== null && <p class="bad small" role="status">{problem.value}</p>}
    </section>
  );
}

const EMPTY: ChartData = { level: 'raw', at_ms: [], t: [], t_min: [], t_max: [], h: [], h_min: [], h_max: [], count: [] };

const heightFor = (element: HTMLElement): number => (element.clientWidth < 560 ? 240 : 320);

/** A value between two gaps would not be seen without a point. */
const lonely: uPlot.Series.Points.Show = (self, series, first, last) => {
  const values = self.data[series] ?? [];
  let alone = 0;
  for (let index = first; index <= last && alone < 200; index += 1) {
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) alone += 1;
  }
  return alone > 0 && alone < 200;
};

function Legend({ data, index }: { data: ChartData | null; index: number | null }): JSX.Element {
  let at = index;
  if (data && at === null) {
    at = data.at_ms.length - 1;
    while (at >= 0 && data.t[at] == null && data.h[at] == null) at -= 1;
  }
  const pick = (row: (number | null)[] | undefined): number | null => (row && at !== null && at >= 0 ? (row[at] ?? null) : null);
  const moment = data && at !== null && at >= 0 ? data.at_ms[at] : undefined;
  const band = (low: number | null, high: number | null): string =>
    low !== null && high !== null && low !== high ? ` (${measured(low)} … ${measured(high)})` : '';
  return (
    <div class="legend">
      <dl>
        <div class="key-t">
          <dt>{t('value.t')}</dt>
          <dd>{measured(pick(data?.t))} °C<span class="quiet">{band(pick(data?.t_min), pick(data?.t_max))}</span></dd>
        </div>
        <div class="key-h">
          <dt>{t('value.h')}</dt>
          <dd>{measured(pick(data?.h))} %<span class="quiet">{band(pick(data?.h_min), pick(data?.h_max))}</span></dd>
        </div>
      </dl>
      <span class="legend-time quiet">{moment === undefined ? '' : whole(moment)}</span>
    </div>
  );
}
