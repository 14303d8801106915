//! `npm run latency`: how soon a reading is on the screen of a real browser after a device has
//! published it, with a thousand devices that measure every five seconds. Needs Cargo; ALDIS_PROFILE=dev
//! measures an unoptimised hub, and arguments go to the example `latency` of the dashboard.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch } from './chromium.mjs';

const profile = process.env.ALDIS_PROFILE ?? 'release';
const hub = spawn(
  'cargo',
  ['run', '--quiet', '--locked', '--profile', profile, '-p', 'aldis-dashboard', '--example', 'latency', '--', '--screen', ...process.argv.slice(2)],
  { cwd: fileURLToPath(new URL('../..', import.meta.url)), stdio: ['pipe', 'pipe', 'inherit'] },
);
const lines = createInterface(hub.stdout)[Symbol.asyncIterator]();
const line = async () => {
  const { value, done } = await lines.next();
  if (done) throw new Error('the hub has ended');
  return value.split(' ');
};
const told = async (name) => {
  const [what, value] = await line();
  if (what !== name) throw new Error(`the hub says ${what}, not ${name}`);
  return value;
};

let browser;
try {
  const baseURL = await told('dashboard');
  const password = await told('password');
  browser = await launch();
  const context = await browser.newContext({ baseURL, locale: 'en-GB', viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.goto('/');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.keyboard.press('Enter');
  await page.getByText('Live', { exact: true }).waitFor();
  const card = page.locator('[data-key="aldis/d0"] .big');
  await card.waitFor();
  await card.evaluate((value) => {
    const seen = [];
    Object.assign(window, { seen });
    new MutationObserver(() => {
      const text = value.childNodes[1].textContent;
      // When the picture with it has been handed to the screen.
      requestAnimationFrame(() => setTimeout(() => seen.push([text, Date.now()])));
    }).observe(value, { characterData: true, subtree: true, childList: true });
  });
  hub.stdin.write('\n');
  const published = new Map();
  for (let words = await line(); words[0] !== 'end'; words = await line()) published.set(words[1], Number(words[2]));
  const last = [...published.keys()].at(-1);
  await page.waitForFunction((text) => window.seen.some(([other]) => other === text), last);
  const seen = await page.evaluate(() => window.seen);
  const took = seen.filter(([text]) => published.has(text)).map(([text, at]) => at - published.get(text)).sort((a, b) => a - b);
  const of = (share) => took[Math.floor(((took.length - 1) * share) / 100)];
  console.log(`from publishing until it is on the screen: p50 ${of(50)} ms, p99 ${of(99)} ms, worst ${of(100)} ms, of ${took.length}`);
  console.log(`${published.size - took.length} of ${published.size} were replaced by a newer one before a picture was drawn`);
} finally {
  await browser?.close();
  hub.stdin.end('\n');
}
