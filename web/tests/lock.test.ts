import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

// A lock file with addresses binds everybody to one registry.
test('the lock file names no registry', () => {
  const lock = readFileSync('package-lock.json', 'utf8');
  expect(lock).not.toMatch(/"resolved"/);
  expect(lock.match(/https?:\/\/[^"]*\.tgz/g)).toBeNull();
  expect(lock).toMatch(/"integrity": "sha512-/);
});
