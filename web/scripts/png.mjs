//! Smaller PNGs: as many colours as the eye needs.

import UPNG from 'upng-js';

/** The picture with at most so many colours; the original where that is smaller. */
export function smaller(png, colours = 256) {
  const decoded = UPNG.decode(png);
  const made = Buffer.from(UPNG.encode(UPNG.toRGBA8(decoded), decoded.width, decoded.height, colours));
  return made.length < png.length ? made : png;
}
