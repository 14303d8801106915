import { expect, test } from 'vitest';
import { on, PHONE, until, withBrowser } from './harness';

withBrowser();

const EVIL = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>';
const RTL = '\u202egnp.exe \u05e9\u05dc\u05d5\u05dd';
const LONG = 'w'.repeat(10_000);
const ALL = [EVIL, RTL, LONG, '🔦'.repeat(50), 'a\0b\x1b[31m', '{{constructor}}', ' ', '__proto__'];

const calm = async (page: any, width: number): Promise<void> => {
  expect(await page.evaluate(() => (window as any).owned)).toBeUndefined();
  // Nothing of it is hidden, or turns around what is beside it.
  expect(await page.evaluate(() => {
    const hidden = /[\u0000-\u0008\u000b-\u001f\u200b\u200e\u200f\u202a-\u202e\u2066\u2067\ufeff]/;
    const found: string[] = hidden.test(document.title) ? [`title: ${document.title}`] : [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node instanceof Element) {
        for (const name of ['aria-label', 'title', 'alt']) {
          if (hidden.test(node.getAttribute(name) ?? '')) found.push(`${name}: ${node.getAttribute(name)}`);
        }
        continue;
      }
      const text = node.nodeValue ?? '';
      const apart = node.parentElement?.closest('bdi, pre, textarea') != null || /\u2068[^\u2069]*[\u0590-\u05ff][^\u2069]*\u2069/.test(text);
      if (hidden.test(text) || (/[\u0590-\u05ff]/.test(text) && !apart)) found.push(`${node.parentElement?.tagName}: ${text}`);
    }
    return found;
  })).toEqual([]);
  // Nothing of it makes the page wider than the phone.
  const wide = await page.evaluate((most: number) => (document.documentElement.scrollWidth <= most ? [] : [...document.querySelectorAll('main *')]
    .filter((element) => element.getBoundingClientRect().right > most).map((element) => `${element.tagName}.${element.getAttribute('class')}`)), width);
  expect(wide).toEqual([]);
};

// A device's name or payload is whatever somebody publishes: it must be seen, and do nothing.
test('names and values from outside', on({ view: PHONE, devices: 1 }, async ({ page, world }) => {
  for (const [index, text] of ALL.entries()) {
    const device = world.addDevice(100 + index);
    world.devices.delete(device.key);
    Object.assign(device, { id: `${text}${index}`, key: `aldis/${text}${index}`, title: index % 2 === 0 ? text : null });
    device.diag = { version: text, reset: text, mode: text, reconnects: { [text]: 3 }, dropped: { [text]: 1 }, uptime_s: 1 };
    device.outages = [{ from_ms: Date.now() - 60_000, to_ms: null, cause: text }];
    device.events = [{ at_ms: Date.now(), kind: text, value: text }, { at_ms: Date.now(), kind: 'answer', value: { done: false, reason: text } }, { at_ms: Date.now(), kind: 'led', value: { odd: [text] } }];
    device.messages = [{ id: text, from: text, text, at_ms: Date.now(), states: [{ state: 'refused', at_ms: Date.now(), reason: text }] }, { id: 'x', from: null, text, at_ms: 5, states: [{ state: text, at_ms: 6, reason: null }] }];
    world.devices.set(device.key, device);
    world.changed(device);
  }
  await until(() => page.locator('.card').count(), (count) => count === ALL.length + 1);
  await calm(page, 390);
  for (const [index, text] of ALL.entries()) {
    const key = `aldis/${text}${index}`;
    if (text === LONG) continue;
    await page.goto(`/device?key=${encodeURIComponent(key)}`);
    await page.locator('.message').first().waitFor();
    await page.locator('.events li').first().waitFor();
    await page.locator('table').first().waitFor();
    await calm(page, 390);
  }
  // By the card, because no address is as long as that name.
  await page.goto('/');
  await page.locator('.card').filter({ hasText: 'wwwwwwwwww' }).first().click();
  await page.locator('h1').filter({ hasText: 'wwwwwwwwww' }).waitFor();
  await calm(page, 390);
}));

test('topics and payloads from outside', on({ view: PHONE, devices: 1, path: '/topics' }, async ({ page, world }) => {
  // What was there is shown when the stream of what comes is open.
  await until(() => page.locator('.head .quiet').innerText(), (text) => text !== '0 topics');
  for (const [index, text] of ALL.entries()) {
    world.publish(`0/${text}${index}`, text);
    world.publish(`${text}/0/${index}`, `{"a":"${text}"}`);
  }
  world.publish('/', '');
  world.publish('//', null, { base64: '' });
  await page.getByRole('button', { name: 'List' }).click();
  for (const index of [0, 1, 2, 3, 4]) {
    const row = page.locator('.topic .leaf').nth(index);
    await row.click();
    await page.locator('.payload-whole').waitFor();
    await calm(page, 390);
    await row.click();
  }
  const evil = page.locator(`.topic .leaf`).filter({ hasText: '<img src=x' }).first();
  await evil.scrollIntoViewIfNeeded();
  await evil.click();
  await page.locator('.payload-whole').getByText('<script>').waitFor();
  await calm(page, 390);
}));

// An answer that is not what was agreed must not leave a blank page.
test('answers that are odd', on({ view: PHONE, devices: 2 }, async ({ page, world, device }) => {
  world.emit('device', { ...world.view(device('kitchen')), t: null, h: null, taken_ms: null, lamp: null, sensor: null, status: null, since_ms: null, diag: null });
  await page.locator('[data-key="aldis/kitchen"]').getByText('no reading yet').waitFor();
  world.emit('reading', { key: 'aldis/nobody', taken_ms: 1, t: 1, h: 1, late: false });
  world.emit('message', { key: 'aldis/nobody', id: '1', state: 'read', at_ms: 1, reason: null });
  world.emit('answer', { key: 'aldis/nobody', id: '1', done: true, reason: null });
  world.emit('unknown', { anything: 1 });
  world.emit('removed', { key: 'aldis/attic' });
  await page.locator('[data-key="aldis/attic"]').waitFor({ state: 'detached' });
  await page.locator('[data-key="aldis/kitchen"]').click();
  await page.getByText('The device has not reported yet.').waitFor();
  await page.getByRole('button', { name: 'Turn on' }).waitFor();
}));
