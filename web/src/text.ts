//! Text from outside, made fit to be seen: all of it can be seen, and nothing of it reaches what is
//! around it.

const EMOJI = String.raw`\p{Extended_Pictographic}(?:\p{Emoji_Modifier}|[\ufe0e\ufe0f])?`;
/**
 * What looks as it should with characters that are hidden elsewhere: emoji of several, flags of
 * parts of a country, letters that join, and Arabic signs, which only count as formatting.
 */
const KEPT = [
  String.raw`\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{2,6}\u{e007f}`,
  String.raw`${EMOJI}(?:\u200d${EMOJI})*`,
  String.raw`[0-9#*]\ufe0f?\u20e3`,
  String.raw`[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2]`,
  String.raw`(?<=[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}])[\u200c\u200d]`,
].join('|');
/**
 * Control characters (tabs and line feeds stay), and what has no picture or changes the direction or
 * the place of what follows: format characters and those that Unicode lets be ignored, separators of
 * lines and paragraphs, letters and braille that are blank, halves of characters.
 */
const HIDDEN = String.raw`[^\P{Cc}\t\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]`;
const PICKED = new RegExp(`(${KEPT})|${HIDDEN}`, 'gu');

/** Hidden characters become visible: controls as Unicode draws them, others by their number. */
export function printable(text: string): string {
  return text.replace(PICKED, (char, kept?: string) => {
    if (kept !== undefined) return kept;
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return '\u2421';
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
  });
}

/** At most so many characters, and never half of one. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = text.slice(0, most);
  const last = cut.charCodeAt(cut.length - 1);
  return `${last >= 0xd800 && last <= 0xdbff ? cut.slice(0, -1) : cut}…`;
}

/** Both, for an element of its own. */
export const visible = (text: string, most: number): string => shortened(printable(shortened(text, most)), most);

/** From where on letters may run from right to left. */
const TURNS = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** The same, for a sentence of ours: its direction ends where it ends. */
export function quoted(text: string, most: number): string {
  const seen = visible(text, most);
  return TURNS.test(seen) ? `\u2068${seen}\u2069` : seen;
}
