import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { DESKTOP, KITCHEN, on, PHONE, until, VIEWS, withBrowser } from './harness';

withBrowser();

const DAY = 86_400_000;
const seen = (page: Page): Promise<{ from: number; to: number; points: number; last: number }> =>
  page.locator('.plot').evaluate((plot: HTMLElement) => ({
    from: Number(plot.dataset['from']), to: Number(plot.dataset['to']), points: Number(plot.dataset['points']), last: Number(plot.dataset['last']),
  }));
const spanOf = async (page: Page): Promise<number> => {
  const { from, to } = await seen(page);
  return to - from;
};
const drawn = (page: Page): Promise<unknown> => until(() => seen(page), ({ points }) => points > 50);
const box = async (page: Page): Promise<{ x: number; y: number; width: number; height: number }> => {
  await page.locator('.u-over').scrollIntoViewIfNeeded();
  return (await page.locator('.u-over').boundingBox())!;
};

describe.each(VIEWS)('the chart on a %s', (_name, view) => {
  test('shows a day, and ranges to all of 400 days', on({ view, path: KITCHEN }, async ({ page, mock }) => {
    await drawn(page);
    expect(await spanOf(page)).toBe(DAY);
    for (const [name, days] of [['Hour', 1 / 24], ['Week', 7], ['Month', 30], ['Year', 365], ['All', 400]] as const) {
      const range = page.getByRole('group', { name: 'Range', exact: true }).getByRole('button', { name, exact: true });
      await range.click();
      expect(await range.getAttribute('aria-pressed')).toBe('true');
      await until(() => spanOf(page), (span) => Math.abs(span - days * DAY) < 60_000);
      await until(() => page.locator('.plot').getAttribute('aria-busy'), (busy) => busy === 'false');
    }
    await page.getByText('mean of an hour, with lowest and highest').waitFor();
    // However long the time, the hub sends about as many points as there are pixels.
    expect((await seen(page)).points).toBeLessThanOrEqual(2100);
    expect(mock.requests.filter((request: string) => request.endsWith('/chart')).length).toBeLessThanOrEqual(8);
    // And a closer look is not made of the coarse points.
    await page.getByRole('button', { name: 'Hour', exact: true }).click();
    await page.getByText(/^(each reading|means, with lowest and highest)/).waitFor();
    expect((await seen(page)).points).toBeGreaterThan(500);
  }));

  test('by buttons and by keys', on({ view, path: KITCHEN }, async ({ page }) => {
    await drawn(page);
    const first = await seen(page);
    await page.getByRole('button', { name: 'Zoom in' }).click();
    expect(Math.abs((await spanOf(page)) - DAY / 2)).toBeLessThan(50);
    // The present stays where it is while it is followed.
    expect(Math.abs((await seen(page)).to - first.to)).toBeLessThan(10_000);
    await page.getByRole('button', { name: 'Earlier' }).click();
    expect((await seen(page)).to).toBeLessThan(first.to - DAY / 5);
    await page.getByRole('button', { name: 'Now', exact: true }).click();
    expect((await seen(page)).to).toBeGreaterThanOrEqual(first.to);
    await page.locator('.plot').focus();
    await page.keyboard.press('-');
    expect(Math.abs((await spanOf(page)) - DAY)).toBeLessThan(50);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    expect((await seen(page)).to).toBeLessThan(first.to - 0.35 * DAY);
    for (let n = 0; n < 30; n += 1) await page.keyboard.press('+');
    expect(await spanOf(page)).toBe(60_000);
    await page.keyboard.press('Home');
    expect((await seen(page)).from).toBeLessThan(first.from - 390 * DAY);
    await page.keyboard.press('Escape');
    await until(() => spanOf(page), (span) => span === DAY);
  }));

  test('a reading moves it on, one that comes late is put where it belongs', on({ view, path: KITCHEN }, async ({ page, world, device, mock }) => {
    await page.getByRole('button', { name: 'Hour', exact: true }).click();
    await until(() => page.locator('.plot').getAttribute('aria-busy'), (busy) => busy === 'false');
    await drawn(page);
    const before = await seen(page);
    // Readings are seconds apart; the mock has none newer than now.
    await until(() => Date.now(), (now) => now > before.last + 1000);
    world.reading(device('kitchen'), { t: 33.3, h: 44.4 });
    await until(() => seen(page), ({ last }) => last > before.last);
    await page.locator('.legend').getByText('33.3 °C').waitFor();
    const charts = (): number => mock.requests.filter((request: string) => request === 'GET /api/devices/aldis%2Fkitchen/chart').length;
    const asked = charts();
    world.emit('reading', { key: 'aldis/kitchen', taken_ms: Date.now() - 1_200_000, t: 1, h: 1, late: true });
    await until(charts, (count) => count === asked + 1);
    // The present is not what came late.
    await page.locator('[data-value=t]').getByText('33.3').waitFor();
  }));

  test('an outage is a gap', on({ view, furnished: true, path: KITCHEN }, async ({ page }) => {
    await drawn(page);
    await page.getByText('shaded: without contact').waitFor();
    // In the middle of it no value is under the cursor.
    const { from, to } = await seen(page);
    const plot = await box(page);
    const middle = Date.now() - 13.3 * 3_600_000;
    await page.mouse.move(plot.x + plot.width * ((middle - from) / (to - from)), plot.y + plot.height / 2);
    await until(() => page.locator('.legend').innerText(), (text) => text.includes('– °C'));
  }));
});

test('by mouse: drag, double click, wheel, and values under the pointer', on({ view: DESKTOP, path: KITCHEN }, async ({ page }) => {
  await drawn(page);
  const plot = await box(page);
  const at = (part: number): [number, number] => [plot.x + plot.width * part, plot.y + plot.height / 2];
  const first = await seen(page);
  await page.mouse.move(...at(0.25));
  await page.mouse.down();
  await page.mouse.move(...at(0.4), { steps: 4 });
  await page.mouse.move(...at(0.5), { steps: 4 });
  await page.mouse.up();
  const span = await spanOf(page);
  expect(span / DAY).toBeCloseTo(0.25, 1);
  expect(((await seen(page)).from - first.from) / DAY).toBeCloseTo(0.25, 1);
  await page.mouse.dblclick(...at(0.5));
  await until(() => spanOf(page), (now) => Math.abs(now / span - 2) < 0.01);

  // Without Ctrl the wheel belongs to the page.
  const before = await spanOf(page);
  await page.mouse.move(...at(0.5));
  await page.locator('h1').evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.mouse.wheel(0, 120);
  await until(() => page.evaluate(() => scrollY), (y) => y > 0);
  expect(await spanOf(page)).toBe(before);
  const again = await box(page);
  await page.mouse.move(again.x + again.width / 2, again.y + again.height / 2);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -240);
  await page.keyboard.up('Control');
  await until(() => spanOf(page), (now) => now < before * 0.6);

  await until(() => page.locator('.plot').getAttribute('aria-busy'), (busy) => busy === 'false');
  const legend = page.locator('.legend-time');
  const texts = new Set<string>();
  for (const part of [0.2, 0.5, 0.8]) {
    await page.mouse.move(again.x + again.width * part, again.y + again.height / 2);
    texts.add(await legend.innerText());
  }
  expect(texts.size).toBe(3);
}));

test('by touch: one finger moves, two zoom', on({ view: PHONE, path: KITCHEN }, async ({ page, context }) => {
  await drawn(page);
  await page.getByRole('button', { name: 'Earlier' }).click();
  const plot = await box(page);
  const y = plot.y + plot.height / 2;
  const session = await context.newCDPSession(page);
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', ...parts: number[]): Promise<unknown> =>
    session.send('Input.dispatchTouchEvent', { type, touchPoints: parts.map((part, id) => ({ x: plot.x + plot.width * part, y, id })) });
  const first = await seen(page);
  await touch('touchStart', 0.3);
  for (const part of [0.35, 0.45, 0.55, 0.6]) await touch('touchMove', part);
  await touch('touchEnd');
  const moved = await seen(page);
  expect((first.from - moved.from) / DAY).toBeGreaterThan(0.2);
  expect((first.from - moved.from) / DAY).toBeLessThan(0.35);
  expect(Math.abs(moved.to - moved.from - DAY)).toBeLessThan(5);

  await touch('touchStart', 0.4, 0.6);
  for (const spread of [0.15, 0.2, 0.3, 0.4]) await touch('touchMove', 0.5 - spread, 0.5 + spread);
  await touch('touchEnd');
  expect((await spanOf(page)) / DAY).toBeCloseTo(0.25, 1);
  await until(() => page.locator('.plot').getAttribute('aria-busy'), (busy) => busy === 'false');
}));
