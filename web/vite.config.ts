import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/** Tells the service worker what was built, and names that set by its content. */
function precache(): Plugin {
  return {
    name: 'aldis-precache',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const worker = bundle['sw.js'];
        if (worker?.type !== 'chunk') throw new Error('the bundle has no sw.js');
        const hash = createHash('sha256');
        const built = Object.values(bundle)
          .filter((file) => file.fileName !== 'sw.js' && !file.fileName.endsWith('.map'))
          .sort((a, b) => a.fileName.localeCompare(b.fileName));
        for (const file of built) {
          hash.update(file.fileName).update(file.type === 'chunk' ? file.code : file.source);
        }
        const plain = readdirSync('public', { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => `${entry.parentPath}/${entry.name}`.replace(/^public\//, ''))
          .sort();
        for (const file of plain) hash.update(file).update(readFileSync(`public/${file}`));
        const files = [...built.map((file) => file.fileName), ...plain]
          .filter((file) => file !== 'index.html')
          .map((file) => `/${file}`);
        worker.code = worker.code
          .replace('__FILES__', JSON.stringify(['/', ...files]))
          .replace('__VERSION__', JSON.stringify(hash.digest('hex').slice(0, 16)));
      },
    },
  };
}

const hub = process.env['ALDIS_HUB'] ?? 'http://127.0.0.1:8090';

export default defineConfig({
  plugins: [precache()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // The content security policy has no data: for anything but pictures.
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { index: 'index.html', sw: 'src/sw.ts' },
      output: {
        entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(['/api', '/trust', '/ca.pem'].map((path) => [path, hub])),
  },
});
