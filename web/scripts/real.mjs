// Runs the tests of e2e/hub over a hub of our own, with the pages that are embedded in it:
// `npm run e2e:real`. ALDIS_SERVE is the example `serve` where it is built already.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [program, ...words] = process.env.ALDIS_SERVE
  ? [process.env.ALDIS_SERVE]
  : ['cargo', 'run', '--quiet', '--locked', '-p', 'aldis-dashboard', '--example', 'serve'];
const hub = spawn(program, words, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
const found = {};
const ready = new Promise((resolve, reject) => {
  hub.on('exit', (code) => reject(new Error(`the hub ended with ${code}`)));
  createInterface(hub.stdout).on('line', (line) => {
    const [what, value] = line.trim().split(/\s+/, 2);
    found[what] = value;
    if (found.dashboard && found.password) resolve();
  });
});
try {
  await ready;
  hub.removeAllListeners('exit');
  const tests = spawn('npx', ['vitest', 'run', '--config', 'vitest.e2e.config.ts'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, ALDIS_HUB: found.dashboard, ALDIS_PASSWORD: found.password, ALDIS_EMBEDDED: '1' },
    stdio: 'inherit',
  });
  process.exitCode = await new Promise((resolve) => tests.on('exit', (code) => resolve(code ?? 1)));
} finally {
  hub.kill('SIGINT');
}
