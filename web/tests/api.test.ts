import { beforeEach, describe, expect, test, vi } from 'vitest';
import { api, ApiError, session, told } from '../src/api';

type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | Error;

describe('requests', () => {
  let asked: { url: string; init: RequestInit }[];
  let next: Answer;
  beforeEach(() => {
    asked = [];
    session.value = { state: 'in', info: { signed_in: true, csrf: 'secret' } };
    vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
      asked.push({ url, init });
      if (next instanceof Error) return Promise.reject(next);
      const { status, body, headers } = next;
      return Promise.resolve(new Response(typeof body === 'string' ? body : JSON.stringify(body ?? {}), { status, headers: headers ?? {} }));
    });
  });
  const failing = async (answer: Answer): Promise<ApiError> => {
    next = answer;
    return api.devices().then(() => expect.fail('it worked'), (error: unknown) => error as ApiError);
  };
  const problem = (status: number, code: string, message = 'why', headers?: Record<string, string>): Answer =>
    ({ status, body: { error: { code, message } }, ...(headers ? { headers } : {}) });

  // A key with a slash or a percent sign would be another path.
  test('name the device in one part of the path', async () => {
    next = { status: 200, body: { id: 'w-1' } };
    await api.lamp('aldis/50% ą?#', 'on');
    expect(asked[0]!.url).toBe('/api/devices/aldis%2F50%25%20%C4%85%3F%23/lamp');
    expect(asked[0]!.init.body).toBe('{"state":"on"}');
  });

  // Without it the hub refuses; with each GET it would be in more logs than it has to.
  test('carry the token only where something changes', async () => {
    next = { status: 200, body: { id: 'w-1', devices: [] } };
    await api.send('k', 'hi', null);
    await api.devices();
    expect(asked.map(({ init }) => (init.headers as Record<string, string>)['X-Aldis-CSRF'])).toEqual(['secret', undefined]);
    expect(asked[0]!.init.body).toBe('{"text":"hi"}');
  });

  test('that go wrong say why, in the language of the page', async () => {
    expect(told(await failing(problem(401, 'wrong_password')))).toBe('This is not the password.');
    expect(told(await failing(problem(429, 'too_many_attempts', '', { 'Retry-After': '90' })))).toMatch(/Try again in 1.min 30.s/);
    expect(told(await failing(problem(418, 'new_code', 'a reason')))).toBe('This did not work: a reason');
    expect(told(await failing({ status: 502, body: '<html>' }))).toBe('This did not work: HTTP 502');
    expect(told(await failing(new TypeError('fetch failed')))).toBe('The hub does not answer. Nothing was sent.');
    expect(told(await failing({ status: 200, body: 'not JSON' }))).toBe('The hub does not answer. Nothing was sent.');
  });

  // `$` and what follows it was taken for a pattern, and the text came out twice.
  test('show the words of the hub as they are', async () => {
    expect(told(await failing(problem(422, 'invalid', 'begins with `$`, $& and $1')))).toBe('The hub does not take this: begins with `$`, $& and $1');
  });

  // A second page that signs in would make every command of the first one fail, until it is loaded anew.
  test('with a token that is too old take the new one, once', async () => {
    const answers = [problem(403, 'csrf'), { status: 200, body: { signed_in: true, csrf: 'newer' } }, problem(403, 'csrf')];
    vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
      asked.push({ url, init });
      const { status, body } = answers.shift() as { status: number; body: unknown };
      return Promise.resolve(new Response(JSON.stringify(body), { status }));
    });
    await expect(api.lamp('k', 'on')).rejects.toMatchObject({ code: 'csrf' });
    expect(asked.map(({ url }) => url)).toEqual(['/api/devices/k/lamp', '/api/session', '/api/devices/k/lamp']);
    expect((asked[2]!.init.headers as Record<string, string>)['X-Aldis-CSRF']).toBe('newer');
  });

  test('that find no session end it, a wrong password does not', async () => {
    await failing(problem(401, 'wrong_password'));
    expect(session.value.state).toBe('in');
    await failing(problem(401, 'not_signed_in'));
    expect(session.value).toEqual({ state: 'out', ended: true });
  });
});
