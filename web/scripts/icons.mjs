//! `npm run icons`: draws the PNG icons from `public/icons/aldis.svg`.

import { readFile, writeFile } from 'node:fs/promises';
import { launch } from './chromium.mjs';
import { smaller } from './png.mjs';

const folder = new URL('../public/icons/', import.meta.url);
const svg = await readFile(new URL('aldis.svg', folder), 'utf8');
// A mask may cut off all but the middle: no round corners, and the picture within it.
const maskable = svg.replace(' rx="112"', '').replace('<g ', '<g transform="translate(56 56) scale(0.78125)" ');

const browser = await launch();
for (const [name, source, size] of [
  ['aldis-192', svg, 192], ['aldis-512', svg, 512], ['aldis-maskable-512', maskable, 512],
]) {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  await page.setContent(`<style>body{margin:0}svg{display:block;width:${size}px;height:${size}px}</style>${source}`);
  const png = smaller(await page.screenshot({ omitBackground: true }), 64);
  await writeFile(new URL(`${name}.png`, folder), png);
  console.log(`${name}.png: ${png.length} bytes`);
  await page.close();
}
await browser.close();
