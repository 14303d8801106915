//! A made-up hub, a real browser, and what every page is watched for.

import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { Mock } from '../mock/server.mjs';
import { furnish, World } from '../mock/world.mjs';
import { launch } from '../scripts/chromium.mjs';

export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2,
};
export const DESKTOP: BrowserContextOptions = { viewport: { width: 1280, height: 800 } };
export const VIEWS: [string, BrowserContextOptions][] = [['phone', PHONE], ['desktop', DESKTOP]];

let browser: Browser;

export function withBrowser(): void {
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
  });
}

export interface Stage {
  world: any;
  mock: any;
  context: BrowserContext;
  page: Page;
  /** What the page complained about, except what the test is about. */
  complaints: string[];
  device: (id: string) => any;
  end: () => Promise<void>;
}

export interface StageOptions {
  view?: BrowserContextOptions;
  devices?: number;
  furnished?: boolean;
  signIn?: boolean;
  path?: string;
  /** Complaints of the browser that belong to the test, such as of a hub that is away. */
  expected?: RegExp;
  clock?: boolean;
}

/** A hub and a page that is signed in, unless it is to do that itself. */
export async function stage(options: StageOptions = {}): Promise<Stage> {
  const world: any = new World({ devices: options.devices ?? 8, seed: 7 });
  if (options.furnished) furnish(world);
  const mock: any = await new Mock(world).start(0);
  const context = await browser.newContext({ baseURL: mock.url, locale: 'en-GB', acceptDownloads: true, ...options.view });
  const complaints: string[] = [];
  // Chromium reports each answer of 400 and more, and each violation of the policy, on the console.
  const expected = options.expected ?? /(?!)/;
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.test(message.text())) {
      complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  context.on('weberror', (error) => complaints.push(`uncaught: ${error.error().stack}`));
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  if (options.clock) await page.clock.install();
  if (options.signIn !== false) {
    // By the cookie: most tests are not about signing in.
    mock.sessions.set('test', 'csrf-of-test');
    await context.addCookies([{ name: 'aldis', value: 'test', url: mock.url, httpOnly: true, sameSite: 'Strict' }]);
    await page.goto(options.path ?? '/');
    await page.getByText('Live', { exact: true }).waitFor();
  } else await page.goto(options.path ?? '/');
  return {
    world, mock, context, page, complaints,
    device: (id) => world.devices.get(`aldis/${id}`),
    end: async () => {
      await context.close();
      await mock.stop();
      expect(complaints).toEqual([]);
    },
  };
}

/** Runs a test on a stage, and looks at the complaints at its end. */
export const on = (options: StageOptions, run: (stage: Stage) => Promise<void>) => async (): Promise<void> => {
  const set = await stage(options);
  try {
    await run(set);
  } catch (error) {
    if (process.env['ALDIS_SHOT']) await set.page.screenshot({ path: process.env['ALDIS_SHOT'] }).catch(() => undefined);
    await set.context.close().catch(() => undefined);
    await set.mock.stop();
    if (set.complaints.length > 0) console.error(set.complaints.join('\n'));
    throw error;
  }
  await set.end();
};

/** Waits until something is so, and says what it was when it never is. */
export async function until<Value>(read: () => Value | Promise<Value>, wanted: (value: Value) => boolean, ms = 10_000): Promise<Value> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await read();
    if (wanted(value)) return value;
    if (Date.now() > end) throw new Error(`it stayed ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const KITCHEN = '/device?key=aldis/kitchen';
export const AWAY = /ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_FAILED|fetching the script|will not open without the hub/;
