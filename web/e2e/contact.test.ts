import { describe, expect, test } from 'vitest';
import { AWAY, KITCHEN, on, PHONE, until, VIEWS, withBrowser, type Stage } from './harness';

withBrowser();

const installed = (page: Stage['page']): Promise<unknown> => page.evaluate(() => navigator.serviceWorker.ready);
/** The page is kept by the service worker, and what the hub said by the page. */
const remembered = (page: Stage['page'], names: string[]): Promise<unknown> => until(() => page.evaluate(() => new Promise<string[]>((resolve) => {
  const open = indexedDB.open('aldis');
  open.onsuccess = () => {
    if (!open.result.objectStoreNames.contains('last')) return resolve([]);
    const keys = open.result.transaction('last').objectStore('last').getAllKeys();
    return (keys.onsuccess = () => (open.result.close(), resolve(keys.result as string[])));
  };
})), (keys) => names.every((name) => keys.includes(name)));

describe.each(VIEWS)('on a %s', (_name, view) => {
  // Values of an hour ago would look like those of now; and after the hub is back, they would stay.
  test('the hub goes away and comes back', on({ view, path: KITCHEN, expected: AWAY }, async ({ page, mock, world, device }) => {
    world.reading(device('kitchen'), { t: 20.5, h: 40 });
    await page.locator('[data-value=t]').getByText('20.5').waitFor();
    await mock.stop();
    await page.getByText(/No contact with the hub since/).waitFor();
    await page.getByText('old value').waitFor();
    // A contact of which nothing is known does not go on.
    expect(await page.locator('.status').innerText()).toBe('online');
    await page.locator('.status.unsure').waitFor();
    // What is asked for meanwhile is not lost in silence.
    await page.getByRole('switch', { name: 'Lamp' }).click();
    await page.getByText('Not sent. The hub does not answer. Nothing was sent.').waitFor();
    await page.getByLabel('Message to Kitchen').fill('kept');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('alert').getByText('The hub does not answer.').waitFor();
    expect(await page.getByLabel('Message to Kitchen').inputValue()).toBe('kept');
    // Things change while nobody listens.
    world.reading(device('kitchen'), { t: 28.5, h: 41 });
    world.setLamp(device('kitchen'), 'off');
    world.message(device('kitchen'), 'While you were away', 'attic');
    await mock.start();
    await page.getByText('The hub is back.').waitFor();
    await page.locator('.status.online').getByText(/in contact for/).waitFor();
    await page.locator('[data-value=t]').getByText('28.5').waitFor();
    await until(() => page.getByRole('switch', { name: 'Lamp' }).getAttribute('aria-checked'), (checked) => checked === 'false');
    await page.getByText('While you were away').first().waitFor();
    await until(() => page.getByText('old value').count(), (count) => count === 0);
  }));

  // Whoever was in the middle of something would begin again at the first page.
  test('a session that ended leads to sign-in, and back to the page', on({ view, path: KITCHEN, expected: /401/ }, async ({ page, mock }) => {
    await page.getByRole('heading', { level: 1, name: 'Kitchen' }).waitFor();
    mock.endSessions();
    // The page may know before the click.
    await page.getByRole('switch', { name: 'Lamp' }).click({ timeout: 2_000 }).catch(() => {});
    await page.getByText('Your session has ended. Sign in to go on.').waitFor();
    await page.getByLabel('Password', { exact: true }).fill('aldis');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Kitchen' }).waitFor();
    await page.getByRole('switch', { name: 'Lamp' }).click();
    await page.getByText('Done: the device says it is off.').waitFor();
  }));

  test('another page of the browser signs in anew', on({ view, path: KITCHEN, expected: /403/ }, async ({ page, mock }) => {
    mock.sessions.set('test', 'newer');
    await page.getByRole('switch', { name: 'Lamp' }).click();
    await page.getByText('Done: the device says it is off.').waitFor();
  }));

  // A page that only listens makes no request that could be refused.
  test('a session that ended while the hub was away', on({ view, path: '/', expected: new RegExp(`401|${AWAY.source}`) }, async ({ page, mock }) => {
    await mock.stop();
    await page.getByText(/No contact with the hub/).waitFor();
    mock.endSessions();
    await mock.start();
    await page.getByText('Your session has ended. Sign in to go on.').waitFor();
    expect(await page.locator('.card').count()).toBe(0);
  }));

  test('without the network, the last known state', on({ view, path: KITCHEN, furnished: true, expected: AWAY }, async ({ page, context, mock }) => {
    await installed(page);
    await remembered(page, ['all', 'chart:aldis/kitchen', 'messages:aldis/kitchen', 'about:aldis/kitchen', 'events:aldis/kitchen']);
    const t = await page.locator('[data-value=t]').innerText();
    await context.setOffline(true);
    await mock.stop();
    await page.reload();
    await page.getByText(/No contact with the hub since \d\d:\d\d:\d\d/).waitFor();
    expect(await page.locator('[data-value=t]').innerText()).toBe(t);
    await page.getByText('old value').waitFor();
    await page.getByText('Dinner is ready, come down!').first().waitFor();
    await page.getByText('the access point was lost').waitFor();
    await until(() => page.locator('.plot').getAttribute('data-points'), (points) => Number(points) > 100);
    await page.getByRole('link', { name: 'All devices' }).click();
    await until(() => page.locator('.card').count(), (count) => count === 8);
    await page.getByRole('link', { name: 'Hub' }).click();
    await page.getByText('SQLite, 231 MB').waitFor();
    await page.goto('/topics');
    await page.getByRole('heading', { level: 1, name: 'Topics' }).waitFor();
    await mock.start();
    await context.setOffline(false);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Devices' }).click();
    await page.locator('[data-key="aldis/kitchen"]').click();
    await page.getByRole('switch', { name: 'Lamp' }).click();
    await page.getByText('Done: the device says it is off.').waitFor();
  }));
});

// A phone in a pocket for a night: no timer fires, the connection is dead, and it is another day.
test('a night asleep', on({ view: PHONE, path: '/', clock: true }, async ({ page, world, device, mock }) => {
  const before = mock.requests.length;
  await page.clock.setSystemTime(Date.now() + 9 * 3_600_000);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await until(() => mock.requests.slice(before).filter((request: string) => request === 'GET /api/live').length, (count) => count === 1);
  await until(() => mock.requests.slice(before).filter((request: string) => request === 'GET /api/devices').length, (count) => count === 1);
  world.reading(device('attic'), { t: 33.3, h: 50 });
  await page.clock.runFor(500);
  await page.locator('[data-key="aldis/attic"]').getByText('33.3').waitFor();
}));

// The lid of a laptop: the page was seen all the time, so that no event tells that it is seen again.
test('a night with the lid closed', on({ path: KITCHEN, clock: true }, async ({ page, mock }) => {
  const before = mock.requests.length;
  await page.clock.setSystemTime(Date.now() + 9 * 3_600_000);
  await page.clock.runFor(2_500);
  await until(() => mock.requests.slice(before).filter((request: string) => request === 'GET /api/live').length, (count) => count === 1);
  await page.getByText('Live', { exact: true }).waitFor();
}));

// A hub that hangs, with its connections open, would be live for ever; so would what it said last.
test('a hub that stands still is away', on({ path: KITCHEN, clock: true }, async ({ page, mock, world, device }) => {
  world.reading(device('kitchen'), { t: 20.5, h: 40 });
  await page.locator('[data-value=t]').getByText('20.5').waitFor();
  mock.freeze();
  await page.clock.fastForward(13_000);
  await page.getByText(/No contact with the hub since \d\d:\d\d:\d\d\. What is shown is of then\./).waitFor();
  await page.getByText('Live', { exact: true }).waitFor({ state: 'detached' });
  await page.locator('.status.unsure').waitFor();
  await page.getByText('old value').waitFor();
  // It takes connections and says nothing over them: still away.
  await page.clock.fastForward(40_000);
  await page.getByText(/No contact with the hub since/).waitFor();
  mock.freeze(false);
  await page.clock.runFor(12_000);
  await page.getByText('Live', { exact: true }).waitFor();
  await page.getByText(/No contact with the hub since/).waitFor({ state: 'hidden' });
}));

// Each hidden tab would keep one of the six connections that a browser makes to one hub.
test('a page that nobody looks at gives its connection up, and takes it again', on({ view: PHONE, path: '/', clock: true }, async ({ page, world }) => {
  await until(() => world.listeners.size, (size) => size === 1);
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.clock.fastForward(61_000);
  await until(() => world.listeners.size, (size) => size === 0);
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until(() => world.listeners.size, (size) => size === 1);
  await page.getByText('Live', { exact: true }).waitFor();
}));

// The hub is there and its broker is not: commands go nowhere.
test('a broker that is away is told', on({ view: PHONE, path: '/' }, async ({ page, world }) => {
  world.setBroker(false, 'connection refused');
  await page.getByText('The hub has no contact with its broker: connection refused').waitFor();
  world.setBroker(true);
  await page.getByText('The hub has no contact with its broker').waitFor({ state: 'hidden' });
}));

// The answer came while the page was cut off: "no answer" would stand there for ever.
test('an answer that came during a gap is found', on({ view: PHONE, path: KITCHEN, expected: AWAY }, async ({ page, world, device, mock }) => {
  device('kitchen').manner = 'silent';
  await page.getByRole('switch', { name: 'Lamp' }).click();
  await until(() => world.nextId, (id) => id > 1);
  await page.getByText('Turning off …').waitFor();
  await until(() => mock.requests.filter((request: string) => request.startsWith('POST')).length, (count) => count === 1);
  await page.waitForLoadState('networkidle').catch(() => undefined);
  await mock.stop();
  await page.getByText(/No contact with the hub/).waitFor();
  world.event(device('kitchen'), 'answer', { id: 'w-1', done: false, reason: 'interrupted' });
  await mock.start();
  await page.getByText('Refused by the device: interrupted').waitFor();
}));

describe('as an application', () => {
  test('it can be installed', on({ path: '/' }, async ({ page, context }) => {
    await installed(page);
    const session = await context.newCDPSession(page);
    const manifest = await session.send('Page.getAppManifest');
    expect(manifest.errors).toEqual([]);
    expect(JSON.parse(manifest.data!)).toMatchObject({ name: 'Aldis', display: 'standalone', start_url: '/' });
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
    // A browser window of its own profile is what headless Chromium's contexts are not.
    expect(installabilityErrors.filter((error) => error.errorId !== 'in-incognito')).toEqual([]);
    for (const icon of (JSON.parse(manifest.data!) as { icons: { src: string; sizes: string; type: string }[] }).icons) {
      const response = await page.request.get(icon.src);
      expect(response.headers()['content-type']).toBe(icon.type);
      if (icon.type !== 'image/png') continue;
      const body = await response.body();
      expect(`${body.readUInt32BE(16)}x${body.readUInt32BE(20)}`).toBe(icon.sizes);
    }
  }));

  // The browser's own offer is easily missed; this one is where settings are.
  test('it offers to be installed when the browser can', on({ view: PHONE, path: '/hub' }, async ({ page }) => {
    const button = page.getByRole('button', { name: 'Install' });
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect(await button.count()).toBe(0);
    const prevented = await page.evaluate(() => {
      const event = Object.assign(new Event('beforeinstallprompt', { cancelable: true }), {
        prompt: () => Promise.resolve(Object.assign(window, { prompted: true })),
      });
      dispatchEvent(event);
      return event.defaultPrevented;
    });
    expect(prevented).toBe(true);
    await button.click();
    expect(await page.evaluate(() => (window as any).prompted)).toBe(true);
    await button.waitFor({ state: 'detached' });
  }));

  test('it notifies of lost contact and messages, once it was allowed by a click', on({ view: PHONE, path: '/' }, async ({ page, context, world, device, mock }) => {
    await installed(page);
    const titles = (): Promise<string[]> => page.evaluate(async () =>
      (await (await navigator.serviceWorker.ready).getNotifications()).map(({ title, body }) => (body ? `${title}: ${body}` : title)));
    world.setStatus(device('attic'), 'offline');
    await page.locator('[data-key="aldis/attic"]').getByText('offline').waitFor();
    await context.grantPermissions(['notifications'], { origin: mock.url });
    // Allowed by the browser is not yet wished by the person.
    expect(await titles()).toEqual([]);
    await page.getByRole('link', { name: 'Hub' }).click();
    const notify = page.getByRole('switch', { name: 'Notifications' });
    await notify.click();
    await until(() => notify.getAttribute('aria-checked'), (checked) => checked === 'true');
    world.setStatus(device('kitchen'), 'offline');
    await until(titles, (all) => all.includes('Kitchen has lost contact'));
    world.message(device('hall'), 'Come down', 'attic');
    await until(titles, (all) => all.includes('Message to hall: Come down'));
    await notify.click();
    await until(() => notify.getAttribute('aria-checked'), (checked) => checked === 'false');
    world.message(device('hall'), 'Unheard', 'attic');
    await page.getByRole('link', { name: 'Devices' }).click();
    await page.locator('[data-key="aldis/hall"]').click();
    await page.getByText('Unheard').first().waitFor();
    expect((await titles()).some((title) => title.includes('Unheard'))).toBe(false);
  }));
});
