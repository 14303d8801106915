import axe from 'axe-core';
import { describe, expect, test } from 'vitest';
import { KITCHEN, on, PHONE, stage, until, VIEWS, withBrowser, type Stage } from './harness';

withBrowser();

/** What axe finds: it measures contrast, names, roles and structure. */
async function violations({ page }: Stage): Promise<string[]> {
  // By the debugger, which the policy of the page does not stop.
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations: found } = await (window as any).axe.run(document, { resultTypes: ['violations'] });
    return found.flatMap(({ id, nodes }: any) => nodes.map((node: any) => `${id}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`));
  });
}

const PAGES: [string, string, (page: Stage['page']) => Promise<unknown>][] = [
  ['devices', '/', (page) => page.locator('.spark path').first().waitFor()],
  ['device', KITCHEN, (page) => page.getByText('the access point was lost').waitFor()],
  ['offline device', '/device?key=aldis/cellar', (page) => page.locator('table').getByText(/still/).waitFor()],
  ['topics', '/topics', (page) => page.locator('.topic .leaf').first().click()],
  ['hub', '/hub', (page) => page.getByText('SQLite, 231 MB').waitFor()],
  ['missing', '/nothing', (page) => page.getByText('There is no such page.').waitFor()],
];

describe.each(VIEWS)('on a %s', (_name, view) => {
  describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
    test.each(PAGES)('%s has nothing that axe finds', async (_page, path, ready) => {
      await on({ view: { ...view, colorScheme }, furnished: true, path }, async (set) => {
        await ready(set.page);
        expect(await violations(set)).toEqual([]);
      })();
    });

    test('sign-in, the question before removing, and outcomes', async () => {
      const out = await stage({ view: { ...view, colorScheme }, signIn: false, expected: /401/ });
      await out.page.getByLabel('Password', { exact: true }).fill('wrong');
      await out.page.keyboard.press('Enter');
      await out.page.getByText('This is not the password.').waitFor();
      expect(await violations(out)).toEqual([]);
      await out.end();
      const set = await stage({ view: { ...view, colorScheme }, path: '/device?key=aldis/attic', furnished: true });
      await set.page.getByRole('switch', { name: 'Lamp' }).click();
      await set.page.getByText('Refused by the device').waitFor();
      expect(await violations(set)).toEqual([]);
      await set.page.getByRole('button', { name: 'Remove' }).click();
      await set.page.getByRole('dialog').waitFor();
      expect(await violations(set)).toEqual([]);
      await set.page.goto('/');
      await set.page.getByRole('button', { name: 'Choose' }).click();
      await set.page.getByRole('checkbox', { name: 'Attic' }).check();
      expect(await violations(set)).toEqual([]);
      await set.page.getByRole('button', { name: 'Remove …' }).click();
      await set.page.getByRole('dialog').waitFor();
      expect(await violations(set)).toEqual([]);
      await set.end();
    });
  });
});

// Whoever has no mouse could not reach something, or not see where they are.
test('by keyboard alone', on({ path: '/' }, async ({ page, device }) => {
  await page.locator('.card').first().waitFor();
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('To the content');
  const outlined = (): Promise<boolean> => page.evaluate(() => {
    const style = getComputedStyle(document.activeElement!);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  });
  const passed: string[] = [];
  for (let n = 0; n < 30; n += 1) {
    await page.keyboard.press('Tab');
    const key = await page.evaluate(() => (document.activeElement as HTMLElement).dataset['key']);
    passed.push(await page.evaluate(() => document.activeElement!.outerHTML.slice(0, 60)));
    expect(await outlined(), passed.at(-1)!).toBe(true);
    if (key === 'aldis/kitchen') break;
  }
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Kitchen' }).waitFor();
  // The focus is at the page's beginning, not lost in a page that is gone.
  await until(() => page.evaluate(() => document.activeElement?.tagName), (tag) => tag === 'H1');
  for (let n = 0; n < 6; n += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(() => document.activeElement?.getAttribute('role'))) === 'switch') break;
  }
  await page.keyboard.press('Space');
  await until(() => device('kitchen').lamp, (lamp) => lamp === 'off');
  await page.getByText('Done: the device says it is off.').waitFor();
  expect(await page.evaluate(() => document.activeElement?.getAttribute('role'))).toBe('switch');
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor();
}));

// Choosing would be for those with a mouse alone.
test('several are chosen by keyboard', on({ path: '/', devices: 4 }, async ({ page }) => {
  const choose = page.getByRole('button', { name: 'Choose' });
  await choose.focus();
  await page.keyboard.press('Enter');
  for (let n = 0; n < 12; n += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => (document.activeElement as HTMLInputElement).type === 'checkbox')) break;
  }
  await page.keyboard.press('Space');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.getByText('2 devices chosen').waitFor();
  expect(await page.getByRole('checkbox', { checked: true }).count()).toBe(2);
}));

// Going back from a device would lead to the top of a list of a thousand.
test('going back leads to where one was', on({ view: PHONE, devices: 300 }, async ({ page }) => {
  await page.locator('.card').first().waitFor();
  await page.evaluate(() => scrollTo(0, 20_000));
  const card = page.locator('.card').nth(6);
  const key = await until(() => card.getAttribute('data-key'), (name) => Number(/\d+$/.exec(name ?? '')?.[0] ?? 0) > 100);
  await page.locator(`[data-key="${key}"]`).click();
  await page.getByRole('heading', { level: 1, name: key!.split('/')[1]! }).waitFor();
  expect(await page.evaluate(() => scrollY)).toBe(0);
  await page.goBack();
  await page.locator(`[data-key="${key}"]`).waitFor();
  await until(() => page.evaluate(() => scrollY), (y) => Math.abs(y - 20_000) < 600);
}));

test('nothing moves for whoever wants that', on({ view: { ...PHONE, reducedMotion: 'reduce' }, path: KITCHEN }, async ({ page, mock }) => {
  mock.slowMs = 1000;
  await page.getByRole('switch', { name: 'Lamp' }).click();
  await page.locator('.switch.pending').waitFor();
  expect(await page.locator('.switch .thumb').evaluate((thumb) => [getComputedStyle(thumb).animationName, getComputedStyle(thumb).transitionDuration])).toEqual(['none', '0s']);
  mock.slowMs = 0;
  await page.getByText('Done: the device says it is off.').waitFor();
}));

/** What is wider than the screen, or than the box that would cut it off. */
const wide = (page: Stage['page']): Promise<string[]> => page.evaluate(() => {
  const root = document.documentElement;
  const found = root.scrollWidth > root.clientWidth ? [`the page: ${root.scrollWidth} of ${root.clientWidth}`] : [];
  const name = (element: Element): string => `${element.tagName} ${element.getAttribute('class')} ${element.textContent?.slice(0, 40)}`;
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('.sr, .u-wrap, svg')) continue;
    const panel = element.closest('.panel')?.getBoundingClientRect();
    const most = Math.min(root.clientWidth, panel ? panel.right : Infinity) + 1;
    if (element.getBoundingClientRect().right > most) found.push(name(element));
  }
  // Buttons that belong together stay in one line.
  for (const choice of document.querySelectorAll('.choice')) {
    const tops = new Set([...choice.children].map((button) => button.getBoundingClientRect().top));
    if (tops.size > 1) found.push(`in ${tops.size} lines: ${name(choice)}`);
  }
  return found;
});

// A phone would scroll sideways, or what is at the edge would be cut off.
describe.each([320, 360, 412])('at %i points', (width) => {
  describe.each([['en-GB', 'Live'], ['lt-LT', 'Tiesiogiai']])('in %s', (locale, live) => {
    test.each(['light', 'dark'] as const)('nothing is wider, in %s', async (colorScheme) => {
      const set = await stage({ view: { ...PHONE, viewport: { width, height: 740 }, colorScheme, locale }, furnished: true, signIn: false, expected: /401/ });
      const { page, mock, context } = set;
      await page.locator('#password').waitFor();
      expect(await wide(page), 'sign-in').toEqual([]);
      mock.sessions.set('test', 'csrf-of-test');
      await context.addCookies([{ name: 'aldis', value: 'test', url: mock.url }]);
      for (const [name, path, ready] of PAGES) {
        await page.goto(path);
        await page.getByText(live, { exact: true }).waitFor();
        // What the other tests wait for is in English.
        if (locale === 'en-GB') await ready(page);
        else await page.waitForLoadState('load');
        if (name === 'device') await until(() => page.locator('.plot').getAttribute('data-points'), (points) => Number(points) > 100);
        if (path.startsWith('/device?')) await page.locator('table').first().waitFor({ state: 'attached' });
        expect(await wide(page), name).toEqual([]);
      }
      await page.goto('/');
      await page.locator('.tools button').click();
      await page.locator('.card input').first().check();
      expect(await wide(page), 'choosing').toEqual([]);
      await page.locator('.danger').click();
      await page.getByRole('dialog').waitFor();
      expect(await wide(page), 'the question').toEqual([]);
      if (locale === 'lt-LT') expect(await violations(set)).toEqual([]);
      await set.end();
    });
  });
});
