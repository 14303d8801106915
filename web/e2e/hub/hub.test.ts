//! The same pages over a real hub: `ALDIS_HUB=http://127.0.0.1:8090 ALDIS_PASSWORD=... npm run e2e:hub`.
//! It is the dashboard's example (hub/dashboard/examples/serve.rs), whose `kitchen` does everything,
//! whose `attic` refuses its lamp, whose `cellar` never answers, and whose `shed` is offline.

import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFront } from '../../mock/front.mjs';
import { launch } from '../../scripts/chromium.mjs';
import { until } from '../harness';

const { ALDIS_HUB: hub, ALDIS_PASSWORD: password, ALDIS_EMBEDDED: embedded } = process.env;
let browser: Browser;
let page: Page;
let front: { url: string; stop: () => Promise<unknown> };
const complaints: string[] = [];

beforeAll(async () => {
  if (!hub || !password) throw new Error('Set ALDIS_HUB to the address of a hub, and ALDIS_PASSWORD to its password.');
  // Its own pages, or those of dist with a proxy between.
  front = embedded ? { url: hub, stop: async () => {} } : await startFront(hub);
  browser = await launch();
  page = await browser.newPage({ baseURL: front.url, locale: 'en-GB', viewport: { width: 1200, height: 900 } });
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => message.type() === 'error' && complaints.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  await page.goto('/device?key=aldis/kitchen');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.keyboard.press('Enter');
  await page.getByText('Live', { exact: true }).waitFor();
});
afterAll(async () => {
  await browser?.close();
  await front?.stop();
  expect(complaints).toEqual([]);
});

test('the lamp, as the device echoes it', async () => {
  const lamp = page.getByRole('switch', { name: 'Lamp' });
  const before = await lamp.getAttribute('aria-checked');
  await lamp.click();
  await page.getByText(/Done: the device says/).waitFor();
  await until(() => lamp.getAttribute('aria-checked'), (checked) => checked !== before);
});

test('a message is read', async () => {
  await page.getByLabel(/^Message to/).fill('Ar vakarienė paruošta? <b>🔦');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.locator('.message[data-state=read]').getByText('Ar vakarienė paruošta? <b>🔦').first().waitFor();
});

test('the chart has its history in each range', async () => {
  for (const name of ['Hour', 'Week', 'Month', 'Year', 'Day']) {
    await page.getByRole('group', { name: 'Range', exact: true }).getByRole('button', { name, exact: true }).click();
    await until(() => page.locator('.plot').getAttribute('aria-busy'), (busy) => busy === 'false');
    await until(() => page.locator('.plot').getAttribute('data-points'), (points) => Number(points) > 20);
  }
});

test('renamed, and saved as CSV', async () => {
  const name = `Kitchen ${Date.now() % 1000}`;
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save as CSV' }).click()]);
  expect((await readFile((await download.path())!, 'utf8')).split('\n').length).toBeGreaterThan(10);
});

test('one refuses, and one does not answer', async () => {
  await page.goto('/device?key=aldis/attic');
  await page.getByRole('switch', { name: 'Lamp' }).click();
  await page.getByText(/Refused by the device/).waitFor();
  await page.goto('/device?key=aldis/cellar');
  const lamp = page.getByRole('switch', { name: 'Lamp' }).or(page.getByRole('button', { name: 'Turn on' }));
  await lamp.click();
  await page.getByText(/No answer from the device/).waitFor();
});

test('one is offline: its lamp waits, and it is removed with all that are', async () => {
  await page.goto('/device?key=aldis/shed');
  await page.getByText('The device is offline: its lamp can be switched when it is back.').waitFor();
  expect(await page.getByRole('switch', { name: 'Lamp' }).or(page.getByRole('button', { name: 'Turn on' })).isDisabled()).toBe(true);
  await page.goto('/');
  await page.getByRole('button', { name: 'Choose', exact: true }).click();
  await page.getByRole('button', { name: 'All offline' }).click();
  await page.getByText('1 device chosen').waitFor();
  await page.getByRole('button', { name: 'Remove …' }).click();
  await page.getByRole('button', { name: 'Remove for good' }).click();
  await page.getByText('1 device was removed.').waitFor();
  await page.reload();
  await page.getByText('Live', { exact: true }).waitFor();
  // What the browser remembers may be older than the removal; what the hub says is not.
  await until(() => page.locator('[data-key="aldis/shed"]').count(), (count) => count === 0);
  await page.locator('[data-key="aldis/kitchen"]').waitFor();
});

test('what is published is seen', async () => {
  await page.goto('/topics');
  await page.getByLabel('Filter').fill('front/#');
  await page.getByRole('button', { name: 'Watch' }).click();
  await page.getByLabel('Topic', { exact: true }).fill('front/test');
  await page.getByLabel('Message', { exact: true }).fill('hello');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('[data-topic="front/test"]').getByText('hello').waitFor();
});

test('the hub tells its health and its address', async () => {
  await page.goto('/hub');
  await page.getByText(/mqtt:\/\//).waitFor();
  const qr = page.locator('.qr');
  if ((await page.getByText('aldis hub --lan').count()) === 0) {
    await until(() => qr.evaluate((image: HTMLImageElement) => image.naturalWidth > 0), Boolean);
  }
});
