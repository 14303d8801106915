//! The built pages in front of a real hub that has none, or others, built in.

import { createServer, request } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { CSP, DIST, TYPES } from './server.mjs';

export async function startFront(hub) {
  const { hostname, port, host } = new URL(hub);
  const server = createServer(async (incoming, response) => {
    const { pathname } = new URL(incoming.url, 'http://here');
    if (pathname.startsWith('/api/') || pathname === '/trust') {
      // The hub wants requests of its own pages only: here they are.
      const headers = { ...incoming.headers, host };
      for (const name of ['origin', 'referer', 'sec-fetch-site']) delete headers[name];
      const outgoing = request({ hostname, port, path: incoming.url, method: incoming.method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      outgoing.on('error', () => response.destroy());
      response.on('close', () => outgoing.destroy());
      incoming.pipe(outgoing);
      return;
    }
    const file = pathname.includes('.') ? pathname : '/index.html';
    try {
      const data = await readFile(new URL(`.${file}`, DIST));
      response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP });
      response.end(data);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())) };
}
