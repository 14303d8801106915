import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Those in e2e/hub want a real hub: npm run e2e:hub.
    include: process.env['ALDIS_HUB'] ? ['e2e/hub/*.test.ts'] : ['e2e/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One browser at a time: what is measured should not wait for another page.
    fileParallelism: false,
  },
});
