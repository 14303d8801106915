import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { KITCHEN, on, until, VIEWS, withBrowser } from './harness';

withBrowser();

describe.each(VIEWS)('on a %s', (_name, view) => {
  // Without a way in there is nothing; with a message that is no help there is none either.
  test('sign in, and be told why not', on({ view, signIn: false, path: KITCHEN, expected: /401|429/ }, async ({ page, mock }) => {
    const password = page.getByLabel('Password', { exact: true });
    await expect.poll(() => password.evaluate((field) => field === document.activeElement)).toBe(true);
    await password.fill('wrong');
    await password.press('Enter');
    await page.getByText('This is not the password.').waitFor();
    for (let n = 0; n < 5; n += 1) {
      await page.getByRole('button', { name: 'Sign in' }).click();
      await until(() => mock.failures, (failures: number) => failures > Math.min(n + 1, 4));
    }
    await page.getByText('Too many attempts. Try again in 30 s.').waitFor();
    mock.failures = 0;
    await password.fill('aldis');
    await page.getByRole('button', { name: 'Sign in' }).click();
    // The page that was asked for, not the first one.
    await page.getByRole('heading', { level: 1, name: 'Kitchen' }).waitFor();
    expect(await page.evaluate(() => document.cookie)).toBe('');
  }));

  test('all devices at a glance, live', on({ view, furnished: true }, async ({ page, world, device }) => {
    const cards = page.locator('.card');
    await cards.first().waitFor();
    expect(await cards.count()).toBe(8);
    // Trouble first: what is lost, then what has no sensor.
    expect(await cards.nth(0).innerText()).toMatch(/Cellar[\s\S]*offline[\s\S]*47\s+min ago/);
    expect(await cards.nth(1).innerText()).toMatch(/Workshop[\s\S]*Sensor does not answer/);
    const kitchen = page.locator('[data-key="aldis/kitchen"]');
    world.reading(device('kitchen'), { t: 31.5, h: 12.3 });
    await kitchen.getByText('31.5').waitFor();
    await kitchen.getByText('12.3').waitFor();
    expect(await kitchen.innerText()).toContain('just now');
    world.setLamp(device('kitchen'), 'off');
    await kitchen.getByText('Lamp on').waitFor({ state: 'detached' });
    world.setStatus(device('kitchen'), 'offline');
    await kitchen.getByText('offline').waitFor();
    await page.getByText('2 offline').waitFor();
    await kitchen.locator('.spark path').waitFor();

    await page.getByLabel('Find a device').fill('green');
    await until(() => cards.count(), (count) => count === 1);
    await page.getByLabel('Find a device').fill('no such');
    await page.getByText('No device has this in its name.').waitFor();
  }));

  test('a hub without devices says what to do, and the first one appears', on({ view, devices: 0 }, async ({ page, world }) => {
    await page.getByText('No device yet.').waitFor();
    await page.getByText('aldis device --id kitchen').waitFor();
    world.changed(world.addDevice(0));
    await page.locator('.card').getByText('Kitchen').waitFor();
  }));

  test('the lamp: pending, done, and as the device has it', on({ view, path: KITCHEN }, async ({ page, world, device, mock }) => {
    const lamp = page.getByRole('switch', { name: 'Lamp' });
    expect(await lamp.getAttribute('aria-checked')).toBe('true');
    mock.slowMs = 400;
    await lamp.click();
    await page.getByText('Turning off …').waitFor();
    // The device has not said so yet.
    expect(await lamp.getAttribute('aria-checked')).toBe('true');
    mock.slowMs = 0;
    await page.getByText('Done: the device says it is off.').waitFor();
    // Its answer and its state are two messages.
    await until(() => lamp.getAttribute('aria-checked'), (checked) => checked === 'false');
    // Somebody else switches it.
    world.setLamp(device('kitchen'), 'on');
    await until(() => lamp.getAttribute('aria-checked'), (checked) => checked === 'true');
    world.setLamp(device('kitchen'), null);
    await page.getByRole('button', { name: 'Turn off' }).click();
    await page.getByText('Done: the device says it is off.').waitFor();
  }));

  test('the lamp: refused, and nothing is pretended', on({ view, path: KITCHEN }, async ({ page, device }) => {
    device('kitchen').manner = 'refuse';
    const lamp = page.getByRole('switch', { name: 'Lamp' });
    await lamp.click();
    await page.getByText('Refused by the device: it may be from before the device was started').waitFor();
    expect(await lamp.getAttribute('aria-checked')).toBe('true');
  }));

  test('the lamp: no answer, and a late one', on({ view, path: KITCHEN, clock: true }, async ({ page, device, world }) => {
    device('kitchen').manner = 'silent';
    const lamp = page.getByRole('switch', { name: 'Lamp' });
    await lamp.click();
    await page.getByText('Turning off …').waitFor();
    await until(() => world.nextId, (id) => id > 1);
    await page.clock.fastForward(10_500);
    await page.getByText(/No answer from the device within 10\s+s/).waitFor();
    // Told live, or found where the clock that was turned has cut the page off.
    world.event(device('kitchen'), 'answer', { id: 'w-1', done: true, reason: null });
    world.emit('answer', { key: 'aldis/kitchen', id: 'w-1', done: true, reason: null });
    await page.getByText('Done: the device says it is off.').waitFor();
  }));

  // A command to a device that is away is lost after half a minute, and nobody says so.
  test('the lamp of a device that is offline waits for it', on({ view, path: KITCHEN }, async ({ page, world, device, mock }) => {
    const lamp = page.getByRole('switch', { name: 'Lamp' });
    await lamp.waitFor();
    world.setStatus(device('kitchen'), 'offline');
    await page.getByText('The device is offline: its lamp can be switched when it is back.').waitFor();
    expect(await lamp.getAttribute('aria-disabled')).toBe('true');
    // Whoever uses a screen reader hears why.
    expect(await page.locator(`#${await lamp.getAttribute('aria-describedby')}`).innerText()).toContain('is offline');
    await lamp.click({ force: true });
    await lamp.focus();
    await page.keyboard.press('Enter');
    world.setLamp(device('kitchen'), null);
    await until(() => page.getByRole('button', { name: 'Turn on' }).isDisabled(), Boolean);
    world.setLamp(device('kitchen'), 'on');
    world.setStatus(device('kitchen'), 'online');
    await until(() => lamp.getAttribute('aria-disabled'), (disabled) => disabled === 'false');
    expect(mock.requests.filter((request: string) => request.startsWith('POST'))).toEqual([]);
    await lamp.click();
    await page.getByText('Done: the device says it is off.').waitFor();
  }));

  // Whoever sends it would wait for an answer that cannot come.
  test('a message to a device that is offline says how long it waits', on({ view, path: KITCHEN }, async ({ page, world, device }) => {
    await page.getByLabel('Message to Kitchen').waitFor();
    world.setStatus(device('kitchen'), 'offline');
    await page.getByText('The broker keeps the message for it until it has been away for an hour').waitFor();
    world.emit('device', { ...world.view(device('kitchen')), since_ms: Date.now() - 2 * 3_600_000 });
    await page.getByText('most likely the broker keeps nothing for it any more').waitFor();
    await page.getByLabel('Message to Kitchen').fill('later');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('.message[data-state=sent]').waitFor();
    world.setStatus(device('kitchen'), 'online');
    await page.getByText('The device has been offline').waitFor({ state: 'detached' });
  }));

  test('a message, to the end: received, shown, read', on({ view, path: KITCHEN }, async ({ page, world, device }) => {
    const text = page.getByLabel('Message to Kitchen');
    const send = page.getByRole('button', { name: 'Send' });
    expect(await send.isDisabled()).toBe(true);
    await text.fill('Ar vakarienė paruošta? 🔦');
    await send.click();
    const message = page.locator('.message').first();
    await message.getByText('Ar vakarienė paruošta? 🔦').waitFor();
    await until(() => message.getAttribute('data-state'), (state) => state === 'shown');
    expect(await text.inputValue()).toBe('');
    expect(await page.locator('.message').count()).toBe(1);
    world.messageState(device('kitchen'), device('kitchen').messages[0].id, 'read');
    await until(() => message.getAttribute('data-state'), (state) => state === 'read');
    await page.getByText('Message “Ar vakarienė paruošta? 🔦”: read').waitFor({ state: 'attached' });
    // Somebody else's message, and all of it after a reload.
    world.message(device('kitchen'), 'From the attic', 'attic');
    await page.getByText('from attic').waitFor();
    await page.reload();
    await until(() => page.locator('.message').count(), (count) => count === 2);
    await page.locator('.message[data-state=read]').getByText('vakarienė').waitFor();
  }));

  test('a message that expires, one that is refused, one that is too long', on({ view, path: KITCHEN, expected: /404/ }, async ({ page, world, device }) => {
    const text = page.getByLabel('Message to Kitchen');
    const send = page.getByRole('button', { name: 'Send' });
    await text.fill('soon worthless');
    await page.getByLabel('Expires').selectOption({ label: 'in 10 minutes' });
    await send.click();
    await page.locator('.message[data-state=shown]').waitFor();
    world.messageState(device('kitchen'), device('kitchen').messages[0].id, 'expired');
    await page.locator('.message[data-state=expired]').getByText('expired').waitFor();

    device('kitchen').manner = 'refuse';
    await text.fill('too much');
    await send.click();
    await page.locator('.message[data-state=refused]').getByText('it is larger than the device can receive').waitFor();

    await text.fill('ą'.repeat(129));
    await page.getByText('2 bytes too many').waitFor();
    expect(await send.isDisabled()).toBe(true);
    await text.fill('x');
    world.devices.delete('aldis/kitchen');
    await send.click();
    await page.getByText('The hub knows no device of this name.').first().waitFor();
    // What was typed is not lost.
    expect(await text.inputValue()).toBe('x');
  }));

  test('contact, gaps and health are told', on({ view, furnished: true, path: KITCHEN }, async ({ page, world, device }) => {
    await page.getByText('the access point was lost').waitFor();
    await page.getByRole('img', { name: /Bar of contact.*outage/ }).waitFor();
    await page.getByText('12 readings are missing, 3 were given up by the device.').waitFor();
    await page.getByText('power or reset button').waitFor();
    // What waits for its confirmation was delivered.
    device('kitchen').diag.outbox = 3;
    world.changed(device('kitchen'));
    await page.getByText('3 not delivered yet, or not confirmed as stored').waitFor();
    // A contact that is lost now is in the list at once, and still goes on: also where the hub's
    // clock is a little ahead of what the page takes for it, as it is by the way of each event.
    world.now = () => Date.now() + 2000;
    world.setStatus(device('kitchen'), 'offline');
    await page.locator('table').getByText(/, still/).waitFor();
    world.setStatus(device('kitchen'), 'online', 'silent');
    await page.locator('table').getByText('no answer came').first().waitFor();
  }));

  test('rename, and take it back', on({ view, path: KITCHEN }, async ({ page, device }) => {
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Virtuvė');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Virtuvė' }).waitFor();
    await page.getByText('Renamed.').waitFor();
    expect(device('kitchen').title).toBe('Virtuvė');
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByLabel('Name', { exact: true }).fill('  ');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { level: 1, name: 'kitchen', exact: true }).waitFor();
    expect(device('kitchen').title).toBe(null);
  }));

  test('remove, only when it is meant', on({ view, path: KITCHEN }, async ({ page, world }) => {
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('dialog').getByText('All its readings').waitFor();
    // In the middle, where it is looked for.
    const { y, height } = (await page.getByRole('dialog').boundingBox())!;
    expect(Math.abs(y + height / 2 - page.viewportSize()!.height / 2)).toBeLessThan(20);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(world.devices.has('aldis/kitchen')).toBe(true);
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove for good' }).click();
    await page.getByText('Kitchen was removed.').waitFor();
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor();
    await until(() => page.locator('.card').count(), (count) => count === 7);
    expect(world.devices.has('aldis/kitchen')).toBe(false);
    await page.goto(KITCHEN);
    await page.getByText('The hub knows no device of this name.').waitFor();
  }));

  // A test that made two hundred devices up would be cleared away one by one.
  test('many are removed in one step, only when it is meant', on({ view, devices: 40, furnished: true, expected: /503/ }, async ({ page, world, device, mock }) => {
    for (const name of ['node-0010', 'node-0011', 'node-0012']) world.setStatus(device(name), 'offline');
    await page.locator('.card').first().waitFor();
    await page.getByLabel('Find a device').fill('node-00');
    await page.getByRole('button', { name: 'Choose', exact: true }).click();
    await page.getByText('0 devices chosen').waitFor();
    expect(await page.getByRole('button', { name: 'Remove …' }).isDisabled()).toBe(true);
    // Those of the search alone: `cellar` is offline as well.
    await page.getByRole('button', { name: 'All offline' }).click();
    await page.getByText('3 devices chosen').waitFor();
    await page.getByRole('checkbox', { name: 'node-0013' }).check();
    await page.getByText('4 devices chosen').waitFor();
    await page.getByRole('button', { name: 'Remove …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Remove 4 devices?' });
    await dialog.getByText('All their readings').waitFor();
    await dialog.getByText('1 of them is online').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect(world.devices.size).toBe(40);

    await page.getByRole('button', { name: 'Remove …' }).click();
    await page.getByRole('button', { name: 'Remove for good' }).click();
    await page.getByText('4 devices were removed.').waitFor();
    expect([...world.devices.keys()].filter((key) => /node-001[0-3]/.test(key))).toEqual([]);
    expect(world.devices.size).toBe(36);
    // Where one was, and cards are links again.
    await until(() => page.evaluate(() => document.activeElement?.textContent), (text) => text === 'Choose');
    await page.locator('a.card').first().waitFor();

    // A hub that cannot says so, and what is left is still chosen.
    await page.getByRole('button', { name: 'Choose', exact: true }).click();
    await page.getByRole('button', { name: 'All shown' }).click();
    const left = world.devices.size - 8;
    await page.getByText(`${left} devices chosen`).waitFor();
    mock.broken = true;
    await page.getByRole('button', { name: 'Remove …' }).click();
    await page.getByRole('dialog').getByText(`and ${left - 5} more`).waitFor();
    await page.getByRole('button', { name: 'Remove for good' }).click();
    await page.getByRole('alert').getByText(`${left} devices were not removed. The hub has no contact with its broker.`).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText(`${left} devices chosen`).waitFor();
    await page.getByRole('button', { name: 'None', exact: true }).click();
    await page.getByRole('button', { name: 'Done', exact: true }).click();
    expect(world.devices.size).toBe(36);
  }));

  test('readings are saved as CSV, of the time that is shown', on({ view, path: KITCHEN }, async ({ page }) => {
    await page.getByRole('button', { name: 'Hour', exact: true }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save as CSV' }).click()]);
    expect(download.suggestedFilename()).toBe('kitchen.csv');
    const lines = (await readFile((await download.path())!, 'utf8')).trim().split('\r\n');
    expect(lines[0]).toBe('time,seq,t,h');
    expect(lines.length).toBeGreaterThan(700);
    expect(lines.length).toBeLessThan(723);
  }));

  test('topics: tree, filter, pause, publish', on({ view, path: '/topics' }, async ({ page, world }) => {
    const row = (topic: string) => page.locator(`[data-topic="${topic}"]`);
    await row('aldis/attic/led').getByText('off').waitFor();
    world.publish('a-new/topic', 'hello');
    await row('a-new/topic').getByText('hello').waitFor();
    await row('aldis').getByRole('button', { expanded: true }).click();
    await row('aldis/attic/led').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'List' }).click();
    await row('aldis/attic/led').getByText('off').waitFor();

    await page.getByRole('button', { name: 'Pause' }).click();
    world.publish('a-new/topic', 'unseen');
    await page.getByText('Paused, 1 message waits.').waitFor();
    expect(await page.getByText('unseen').count()).toBe(0);
    await page.getByRole('button', { name: 'Go on' }).click();

    await page.getByLabel('Filter').fill('a-new/+');
    await page.getByRole('button', { name: 'Watch' }).click();
    await until(() => page.locator('.topic').count(), (count) => count === 1);
    await row('a-new/topic').getByText('unseen').waitFor();
    await page.getByLabel('Filter').fill('a-new/#/x');
    await page.getByRole('button', { name: 'Watch' }).click();
    await page.getByText('This is not a topic filter.').waitFor();

    await row('a-new/topic').getByRole('button').click();
    // What was chosen is seen at once, however long the list is.
    await until(() => page.locator('.payload-panel').evaluate((panel) => panel.getBoundingClientRect().bottom <= innerHeight), Boolean);
    await page.getByRole('button', { name: 'Publish here' }).click();
    await until(() => page.getByLabel('Message', { exact: true }).evaluate((field) => {
      const { left, top, bottom } = field.getBoundingClientRect();
      return field === document.activeElement && [top + 1, bottom - 1].every((y) => document.elementFromPoint(left + 20, y) === field);
    }), Boolean);
    await page.getByLabel('Message', { exact: true }).fill('{"a":1}');
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.getByText('Published on a-new/topic.').first().waitFor();
    await page.getByLabel('Last message on a-new/topic').getByText('"a": 1').waitFor();
    await page.getByLabel('Topic', { exact: true }).fill('a/#');
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.getByText('This is not a topic that can be published to.').waitFor();
    world.publish('a-new/binary', null, { base64: 'AAEC' });
    await row('a-new/binary').getByText('3 bytes that are no text').waitFor();
  }));

  test('the hub: health, phone, language, appearance', on({ view, path: '/hub' }, async ({ page, world, mock }) => {
    await page.getByText('mqtt://127.0.0.1:1883').waitFor();
    await page.getByText('SQLite, 231 MB').waitFor();
    const qr = page.getByRole('img', { name: 'QR code of https://192.168.1.107:8443' });
    await until(() => qr.evaluate((image: HTMLImageElement) => image.naturalWidth > 0), Boolean);
    await page.getByLabel('Address').selectOption('https://hub.local:8443');
    await page.getByRole('img', { name: 'QR code of https://hub.local:8443' }).waitFor();
    world.emit('health', { ...world.health(), recorder: { ...world.health().recorder, error: 'disk full' } });
    await page.getByText('disk full').waitFor();

    await page.getByRole('button', { name: 'Lietuvių' }).click();
    await page.getByRole('heading', { level: 1, name: 'Centras' }).waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('lt');
    await page.getByText('31,4 MB').waitFor();
    await page.getByRole('button', { name: 'tamsi' }).click();
    const paper = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(await paper()).toBe('rgb(20, 23, 26)');
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Centras' }).waitFor();
    expect(await paper()).toBe('rgb(20, 23, 26)');
    await page.getByRole('button', { name: 'kaip sistemos' }).click();
    expect(await paper()).toBe('rgb(244, 243, 239)');

    // A hub that only this machine reaches has no address for a phone.
    world.urls = ['http://127.0.0.1:8080'];
    mock.urls = ['http://127.0.0.1:8080'];
    await page.reload();
    await page.getByText('aldis hub --lan').waitFor();
  }));

  test('signing out leaves nothing behind', on({ view, path: KITCHEN, expected: /401/ }, async ({ page, mock }) => {
    const kept = (): Promise<number> => page.evaluate(() => new Promise<number>((resolve, reject) => {
      const open = indexedDB.open('aldis');
      open.onerror = () => reject(open.error);
      open.onsuccess = () => {
        const count = open.result.transaction('last').objectStore('last').count();
        count.onsuccess = () => (open.result.close(), resolve(count.result));
      };
    }));
    await until(kept, (count) => count > 2);
    await page.getByRole('link', { name: 'Hub' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(mock.sessions.size).toBe(0);
    expect(await kept()).toBe(0);
    const caches_ = await page.evaluate(async () => {
      const urls = [];
      for (const name of await caches.keys()) for (const request of await (await caches.open(name)).keys()) urls.push(new URL(request.url).pathname);
      return urls;
    });
    expect(caches_.filter((path) => path.startsWith('/api'))).toEqual([]);
  }));
});
