//! The web API over a made-up world, and the built front end beside it: for development and tests.
//! `startMock` gives a hub that can be stopped and started again on its port.

import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const DIST = new URL('../dist/', import.meta.url);
const FOLDER = fileURLToPath(DIST);
/** The hub's own policy. */
export const CSP = [
  "default-src 'self'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'", "manifest-src 'self'",
  "worker-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
].join('; ');
export const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.webmanifest': 'application/manifest+json', '.json': 'application/json',
};

class Problem extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

export class Mock {
  constructor(world, { password = 'aldis', loopback = true, name = 'Aldis' } = {}) {
    Object.assign(this, { world, password, loopback, name });
    this.sessions = new Map();
    this.failures = 0;
    this.port = 0;
    this.server = null;
    /** Requests by path, for tests to look at. */
    this.requests = [];
    /** Answers are held back so long. */
    this.slowMs = 0;
    this.frozen = false;
    /** Without its broker a hub removes nothing. */
    this.broken = false;
    /** What waits until it is thawed. */
    this.held = [];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(port = this.port) {
    const server = createServer((request, response) => void this.serve(request, response));
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    this.port = server.address().port;
    this.server = server;
    return this;
  }

  /** Away, as if the plug was pulled: connections end. */
  async stop() {
    const { server } = this;
    if (!server) return;
    this.server = null;
    this.freeze(false);
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  }

  /** As if stopped by a signal: connections stay open, and nothing comes over them. */
  freeze(frozen = true) {
    this.frozen = frozen;
    if (frozen) return;
    for (const thaw of this.held.splice(0)) thaw();
  }

  endSessions() {
    this.sessions.clear();
  }

  async serve(request, response) {
    const url = new URL(request.url, this.url);
    this.requests.push(`${request.method} ${url.pathname}`);
    if (this.requests.length > 10_000) this.requests.splice(0, 5000);
    response.setHeader('Content-Security-Policy', CSP);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    try {
      if (this.frozen) await new Promise((resolve) => this.held.push(resolve));
      if (this.slowMs > 0) await new Promise((resolve) => setTimeout(resolve, this.slowMs));
      if (url.pathname.startsWith('/api/')) await this.api(request, response, url);
      else await this.file(response, url);
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      const problem = error instanceof Problem ? error : new Problem(500, 'internal', String(error?.stack ?? error));
      this.json(response, problem.status, { error: { code: problem.code, message: problem.message } }, problem.headers);
    }
  }

  json(response, status, value, headers = {}) {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
    response.end(value === undefined ? undefined : JSON.stringify(value));
  }

  cookie(request) {
    return /(?:^|;\s*)aldis=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
  }

  async body(request) {
    let text = '';
    for await (const chunk of request) text += chunk;
    try {
      return JSON.parse(text);
    } catch {
      throw new Problem(400, 'bad_json', 'The body is not JSON.');
    }
  }

  sessionInfo(csrf) {
    return csrf
      ? { signed_in: true, csrf, name: this.name, version: '0.1.0', loopback: this.loopback }
      : { signed_in: false, name: this.name, version: '0.1.0', loopback: this.loopback };
  }

  async api(request, response, url) {
    const { world } = this;
    const { method } = request;
    const cookie = this.cookie(request);
    const csrf = cookie === undefined ? undefined : this.sessions.get(cookie);
    const path = url.pathname.slice(5);
    if (path === 'session') {
      if (method === 'GET') return this.json(response, 200, this.sessionInfo(csrf));
      if (method === 'POST') {
        const { password } = await this.body(request);
        if (this.failures >= 5) throw new Problem(429, 'too_many_attempts', 'Too many attempts.', { 'Retry-After': '30' });
        if (password !== this.password) {
          this.failures += 1;
          throw new Problem(401, 'wrong_password', 'Wrong password.');
        }
        this.failures = 0;
        const id = `s${Math.random().toString(36).slice(2)}`;
        const token = `c${Math.random().toString(36).slice(2)}`;
        this.sessions.set(id, token);
        return this.json(response, 200, this.sessionInfo(token), { 'Set-Cookie': `aldis=${id}; HttpOnly; SameSite=Strict; Path=/` });
      }
      if (method === 'DELETE') {
        this.sessions.delete(cookie);
        response.writeHead(204).end();
        return undefined;
      }
    }
    if (path === 'openapi.json') return this.json(response, 200, { openapi: '3.1.0', info: { title: 'mock', version: '0' }, paths: {} });
    if (!csrf) throw new Problem(401, 'not_signed_in', 'Sign in first.');
    if (method !== 'GET' && request.headers['x-aldis-csrf'] !== csrf) throw new Problem(403, 'csrf', 'Wrong CSRF token.');
    const number = (name, otherwise) => {
      const text = url.searchParams.get(name);
      if (text === null) return otherwise;
      if (!/^-?\d+$/.test(text)) throw new Problem(400, 'bad_query', `${name} is not a whole number.`);
      return Number(text);
    };
    const from = number('from', world.now() - 86_400_000);
    const to = number('to', world.now());

    const match = /^devices\/([^/]+)(?:\/(\w+))?$/.exec(path);
    if (match) {
      const device = world.devices.get(decodeURIComponent(match[1]));
      if (!device) throw new Problem(404, 'no_device', 'No such device.');
      switch (`${method} ${match[2] ?? ''}`) {
        case 'GET ':
          return this.json(response, 200, { ...world.view(device), gaps_list: device.gaps_list });
        case 'PATCH ': {
          device.title = (await this.body(request)).title;
          world.changed(device);
          return this.json(response, 200, world.view(device));
        }
        case 'DELETE ':
          if (this.broken) throw new Problem(503, 'broker_unavailable', 'There is no connection.');
          world.remove(device.key);
          response.writeHead(204).end();
          return undefined;
        case 'GET chart':
          return this.json(response, 200, world.chart(device, from, to, Math.min(5000, Math.max(2, number('points', 800)))));
        case 'GET readings': {
          response.writeHead(200, { 'Content-Type': 'text/csv', 'Content-Disposition': `attachment; filename="${device.id}.csv"` });
          let rows = 0;
          for (const row of world.csv(device, from, to)) {
            response.write(row);
            if ((rows += 1) > 200_000) break;
          }
          response.end();
          return undefined;
        }
        case 'GET events':
          return this.json(response, 200, { events: device.events.filter((event) => event.at_ms <= to && event.at_ms >= from).slice(0, number('limit', 100)) });
        case 'GET outages':
          return this.json(response, 200, { outages: device.outages.filter((outage) => outage.from_ms <= to && (outage.to_ms ?? to) >= from).reverse() });
        case 'GET diags':
          return this.json(response, 200, { diags: device.diag ? [device.diag] : [] });
        case 'GET messages':
          return this.json(response, 200, { messages: device.messages.slice(0, number('limit', 50)) });
        case 'POST lamp': {
          const { state } = await this.body(request);
          if (!['on', 'off', 'toggle'].includes(state)) throw new Problem(422, 'bad_state', 'state is on, off or toggle.');
          return this.json(response, 202, { id: world.lampCommand(device, state) });
        }
        case 'POST message': {
          const { text, ttl_s: ttl = null } = await this.body(request);
          if (typeof text !== 'string' || text.trim() === '') throw new Problem(422, 'no_text', 'no text');
          if (Buffer.byteLength(text) > 256) throw new Problem(422, 'too_long', 'the text is longer than 256 bytes');
          return this.json(response, 202, { id: world.message(device, text, 'dashboard', ttl) });
        }
        default:
      }
    }
    switch (`${method} ${path}`) {
      case 'GET devices':
        return this.json(response, 200, { devices: [...world.devices.values()].map((device) => world.view(device)) });
      case 'GET health':
        return this.json(response, 200, world.health());
      case 'GET address':
        return this.json(response, 200, { urls: this.urls ?? world.urls });
      case 'GET qr.svg': {
        response.writeHead(200, { 'Content-Type': 'image/svg+xml' });
        response.end(qr());
        return undefined;
      }
      case 'POST publish': {
        const { topic, payload, qos, retain } = await this.body(request);
        if (!topic || /[+#\0]/.test(topic)) throw new Problem(422, 'invalid', 'The topic has wildcards.');
        world.publish(topic, payload, { qos, retain });
        return this.json(response, 202, {});
      }
      case 'GET topics': {
        const fits = matcher(url.searchParams.get('filter') ?? '#');
        const topics = [...world.topics.values()].filter((message) => fits(message.topic)).slice(0, number('limit', 500));
        return this.json(response, 200, { topics, known: world.topics.size, refused: null });
      }
      case 'GET live':
        return this.stream(request, response, (send) => {
          send('hello', { hub_ms: world.now(), connected: world.broker.connected });
          const listener = (kind, data) => send(kind, data);
          world.listeners.add(listener);
          return () => world.listeners.delete(listener);
        });
      case 'GET topics/live': {
        const fits = matcher(url.searchParams.get('filter') ?? '#');
        return this.stream(request, response, (send) => {
          const listener = (message) => fits(message.topic) && send('topic', message);
          world.topicListeners.add(listener);
          return () => world.topicListeners.delete(listener);
        });
      }
      default:
        throw new Problem(404, 'not_found', 'There is nothing here.');
    }
  }

  stream(request, response, begin) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.write('retry: 1000\n\n');
    const write = (kind, data) => response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
    const send = (kind, data) => void (this.frozen ? this.held.push(() => write(kind, data)) : write(kind, data));
    const end = begin(send);
    const beat = setInterval(() => send('beat', {}), 5000);
    request.on('close', () => {
      clearInterval(beat);
      end();
    });
  }

  async file(response, url) {
    if (url.pathname === '/trust') {
      response.writeHead(200, { 'Content-Type': TYPES['.html'] });
      return void response.end('<!doctype html><title>Trust</title><p>How to trust this hub.');
    }
    let path = normalize(join(FOLDER, decodeURIComponent(url.pathname)));
    if (!path.startsWith(FOLDER)) throw new Problem(404, 'not_found', 'No such file.');
    const there = await stat(path).then((found) => found.isFile(), () => false);
    if (!there) {
      if (url.pathname.includes('.')) throw new Problem(404, 'not_found', 'No such file.');
      path = join(FOLDER, 'index.html');
    }
    const data = await readFile(path);
    response.writeHead(200, {
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
      'Cache-Control': url.pathname.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    });
    response.end(data);
  }
}

/** Whether a topic fits a filter, as MQTT has it. */
export function matcher(filter) {
  const levels = filter.split('/');
  return (topic) => {
    const parts = topic.split('/');
    for (const [index, level] of levels.entries()) {
      if (level === '#') return true;
      if (index >= parts.length || (level !== '+' && level !== parts[index])) return false;
    }
    return parts.length === levels.length;
  };
}

/** Looks like a QR code, and says nothing. */
function qr() {
  const size = 25;
  let path = '';
  const finder = (x, y) => [[0, 0], [size - 7, 0], [0, size - 7]].some(([left, top]) => {
    const [dx, dy] = [x - left, y - top];
    if (dx < 0 || dy < 0 || dx > 6 || dy > 6) return false;
    return dx === 0 || dy === 0 || dx === 6 || dy === 6 || (dx > 1 && dx < 5 && dy > 1 && dy < 5);
  });
  const near = (x, y) => (x < 8 && y < 8) || (x > size - 9 && y < 8) || (x < 8 && y > size - 9);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      if (near(x, y) ? finder(x, y) : (x * 7 + y * 13 + x * y * 3) % 5 < 2) path += `M${x} ${y}h1v1h-1z`;
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path}"/></svg>`;
}
