//! `npm run pictures`: draws the pictures of docs/pictures from the made-up hub, at a time and
//! with a past that are always the same.

import { mkdir, writeFile } from 'node:fs/promises';
import { Mock } from '../mock/server.mjs';
import { furnish, World } from '../mock/world.mjs';
import { launch } from './chromium.mjs';
import { smaller } from './png.mjs';

const folder = new URL('../../docs/pictures/', import.meta.url);
await mkdir(folder, { recursive: true });

process.env.TZ = 'Europe/Vilnius';
const NOW = Date.UTC(2026, 10, 27, 16, 42, 7);
const world = new World({ devices: 8, seed: 3, now: () => NOW, later: () => undefined });
furnish(world);
for (const device of world.devices.values()) {
  if (device.status === 'online' && device.sensor === 'ok') world.reading(device);
}
const mock = await new Mock(world).start(0);
mock.sessions.set('pictures', 'csrf');

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const DESKTOP = { viewport: { width: 1200, height: 800 }, deviceScaleFactor: 1 };
const DEVICE = '/device?key=aldis/kitchen';
const drawn = (page) => page.waitForFunction(() => Number(document.querySelector('.plot')?.dataset.points) > 100 && document.querySelector('.messages'));
const sparks = (page) => page.waitForFunction(() => document.querySelectorAll('.card').length > 3 && document.querySelectorAll('.spark path').length === document.querySelectorAll('.card').length);
const topics = async (page) => {
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await page.locator('[data-topic="aldis/attic/climate"] .leaf').click();
};
const hub = (page) => page.waitForFunction(() => document.querySelector('.qr')?.naturalWidth > 0);

/** Name, page, what to wait for, window, and settings of the browser. */
const PICTURES = [
  ['phone-light-devices', '/', sparks, PHONE, {}],
  ['phone-light-device', DEVICE, drawn, PHONE, {}],
  ['phone-dark-device', DEVICE, drawn, PHONE, { colorScheme: 'dark', locale: 'lt-LT' }],
  ['phone-dark-messages', DEVICE, async (page) => {
    await drawn(page);
    await page.getByRole('heading', { name: 'Messages' }).evaluate((heading) => heading.closest('section').scrollIntoView());
  }, PHONE, { colorScheme: 'dark' }],
  ['desktop-devices', '/', sparks, DESKTOP, {}],
  ['desktop-device', DEVICE, drawn, DESKTOP, {}],
  ['desktop-topics', '/topics', topics, DESKTOP, { colorScheme: 'dark' }],
  ['desktop-hub', '/hub', hub, DESKTOP, {}],
];

const browser = await launch();
for (const [name, path, ready, view, settings] of PICTURES) {
  const context = await browser.newContext({ baseURL: mock.url, locale: 'en-GB', timezoneId: 'Europe/Vilnius', reducedMotion: 'reduce', ...view, ...settings });
  await context.addCookies([{ name: 'aldis', value: 'pictures', url: mock.url }]);
  const page = await context.newPage();
  await page.goto(path);
  await ready(page);
  // The chart has drawn when two pictures have gone by.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  const png = smaller(await page.screenshot(), 128);
  await writeFile(new URL(`${name}.png`, folder), png);
  console.log(`${name}.png: ${png.length} bytes`);
  await context.close();
}
await browser.close();
await mock.stop();
