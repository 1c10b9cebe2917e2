import fc from "fast-check";
import { expect, test } from "vitest";
import { neutralise, neutralLine } from "../../src/base/text.ts";

// Can anything an attacker writes act on the terminal, hide, or vanish? (P3)

/** Everything that may not come out raw. Written apart from the code under test. */
const RAW =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2800\ufffc]/u;

const anyCodePoint = fc.oneof(
  fc.integer({ min: 0, max: 0x10ffff }).map((code) => String.fromCodePoint(code)),
  fc.integer({ min: 0xd800, max: 0xdfff }).map((code) => String.fromCharCode(code)),
  fc.constantFrom(
    " ",
    "\n",
    "\t",
    "\r",
    "\u001b",
    "\u202e",
    "\u200b",
    "\u0301",
    "⟦",
    "⟧",
    "a",
    "а",
    "ο",
    "\u2028",
  ),
  fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCodePoint(code)),
);
const anyText = fc.array(anyCodePoint, { maxLength: 60 }).map((chars) => chars.join(""));

test("20,000 random strings leave no raw hidden character (P3)", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const shown = neutralise(text).text;
      expect(shown).not.toMatch(RAW);
      expect(shown.isWellFormed()).toBe(true);
      expect(shown).not.toMatch(/ {5}/);
      expect(shown).not.toMatch(/\n\n\n\n/);
      expect(shown).not.toMatch(/\p{M}{4}/u);
      expect(neutralLine(text)).not.toMatch(/\n/);
    }),
    { numRuns: 20_000 },
  );
});

/** Reads the markers back. Only what `neutralise` promises to show one by one. */
function readBack(shown: string): string {
  return shown.replaceAll(/⟦([^⟧]*)⟧|⇥/gu, (marker, body: string | undefined) => {
    if (marker === "⇥") return "\t";
    const code = /^U\+([0-9A-F]+)$/.exec(body ?? "");
    if (code) return String.fromCodePoint(Number.parseInt(code[1] ?? "", 16));
    const spaces = /^(\d+) spaces$/.exec(body ?? "");
    if (spaces) return " ".repeat(Number(spaces[1]));
    return "";
  });
}

test("what went in can be read back from what is shown: nothing is dropped, no marker can be forged", () => {
  const withoutRuns = anyText.filter((text) => !/\p{M}{2}|\n *\n *\n/u.test(text));
  fc.assert(
    fc.property(withoutRuns, (text) => {
      expect(readBack(neutralise(text).text)).toBe(text);
    }),
    { numRuns: 5_000 },
  );
});

test("plain text comes out as it went in, without a flag", () => {
  for (const text of [
    "deploy web at 4f2a91c to demo",
    "a\n\nb\n    indented",
    "Zoë Ångström",
    "Привет, мир",
    "日本語",
    "🚀 10 °C",
  ]) {
    expect(neutralise(text)).toEqual({ text, flags: [] });
  }
});

test.each([
  ["terminal escapes", "\u001b[2J\u001b[31mred\u001b[0m", "⟦U+001B⟧[2J⟦U+001B⟧[31mred⟦U+001B⟧[0m", "control"],
  ["a title set by OSC", "\u001b]0;pwned\u0007", "⟦U+001B⟧]0;pwned⟦U+0007⟧", "control"],
  ["an eight-bit CSI", "\u009b2J", "⟦U+009B⟧2J", "control"],
  ["a line that overwrites itself", "rm -rf /\rls", "rm -rf /⟦U+000D⟧ls", "control"],
  ["a backspace", "ab\bc", "ab⟦U+0008⟧c", "control"],
  ["a reversed name", "\u202Egnp.exe", "⟦U+202E⟧gnp.exe", "direction"],
  ["an isolate", "a\u2066b\u2069", "a⟦U+2066⟧b⟦U+2069⟧", "direction"],
  ["a zero-width space", "pro\u200bd", "pro⟦U+200B⟧d", "invisible"],
  ["a soft hyphen", "pro\u00add", "pro⟦U+00AD⟧d", "invisible"],
  ["a tag character", "ok\u{e0041}", "ok⟦U+E0041⟧", "invisible"],
  ["a variation selector", "✔\ufe0f", "✔⟦U+FE0F⟧", "invisible"],
  ["a Hangul filler", "a\u3164b", "a⟦U+3164⟧b", "invisible"],
  ["a no-break space", "a\u00a0b", "a⟦U+00A0⟧b", "odd_space"],
  ["a blank Braille cell", "a\u2800b", "a⟦U+2800⟧b", "odd_space"],
  ["a line separator", "a\u2028b", "a⟦U+2028⟧b", "odd_space"],
  ["a private-use character", "\ue000", "⟦U+E000⟧", "unassigned"],
  ["a non-character", "\uffff", "⟦U+FFFF⟧", "unassigned"],
  ["a lone surrogate", "a\ud800b", "a⟦U+D800⟧b", "malformed"],
  ["a forged marker", "⟦312 spaces⟧", "⟦U+27E6⟧312 spaces⟦U+27E7⟧", "marker"],
  ["a pushed-away line", `safe${" ".repeat(312)}; rm`, "safe⟦312 spaces⟧; rm", "blank_run"],
  ["a scrolled-away line", `safe${"\n".repeat(60)}rm`, "safe\n⟦59 blank lines⟧\nrm", "blank_run"],
  ["blank lines made of spaces", "safe\n  \n  \n  \nrm", "safe\n⟦3 blank lines⟧\nrm", "blank_run"],
  [
    "piled-up marks",
    `a${"\u0301".repeat(20)}b`,
    "a\u0301\u0301\u0301⟦17 more combining marks⟧b",
    "combining_run",
  ],
  ["a mark on nothing", "x \u0301y", "x ⟦U+0301⟧y", "combining_run"],
  ["a Cyrillic a in a Latin word", "p\u0430ypal", "p\u0430ypal⟦mixes Latin and Cyrillic⟧", "mixed_script"],
  ["a Greek omicron", "pr\u03bfd", "pr\u03bfd⟦mixes Latin and Greek⟧", "mixed_script"],
  ["an Armenian o", "pr\u0585d", "pr\u0585d⟦mixes Latin and Armenian⟧", "mixed_script"],
  ["a Cherokee letter", "\u13a0rod", "\u13a0rod⟦mixes Latin and Cherokee⟧", "mixed_script"],
  [
    "a Cyrillic part of an identifier",
    "prod-\u0435\u0445",
    "prod-\u0435\u0445⟦mixes Latin and Cyrillic⟧",
    "mixed_script",
  ],
  [
    "scripts parted by a hidden character",
    "pay\u200b\u0440al",
    "pay⟦U+200B⟧\u0440al⟦mixes Latin and Cyrillic⟧",
    "mixed_script",
  ],
  ["full-width letters", "ｐrod", "ｐrod", "lookalike"],
  ["right-to-left letters", "אב", "אב", "right_to_left"],
] as const)("shows %s", (_what, text, shown, flag) => {
  const neutral = neutralise(text);
  expect(neutral.text).toBe(shown);
  expect(neutral.flags).toContain(flag);
});

test("an indent may be kept longer than a run inside a line", () => {
  const text = `        return 1;${" ".repeat(9)}// x`;
  expect(neutralise(text, { maxIndent: 40 }).text).toBe("        return 1;⟦9 spaces⟧// x");
  expect(neutralise(text).text).toBe("⟦8 spaces⟧return 1;⟦9 spaces⟧// x");
});

test("on one line a line break is a marker too", () => {
  expect(neutralLine("a\nb\tc")).toBe("a⟦U+000A⟧b⇥c");
});

test("a megabyte of anything takes linear time: no pattern runs away", () => {
  const size = 1 << 20;
  const worst: readonly (readonly [string, string])[] = [
    ["blanks", " ".repeat(size)],
    ["line breaks", "\n".repeat(size)],
    ["blank lines of spaces", " \n".repeat(size / 2)],
    ["lines of five spaces", "\n     ".repeat(size / 6)],
    ["blanks after a word", `a${" ".repeat(size - 2)}b`],
  ];
  neutralise("warm up ".repeat(20_000));
  for (const [what, text] of worst) {
    const best = Math.min(...Array.from({ length: 10 }, () => timed(() => neutralise(text))));
    expect(best, what).toBeLessThan(50);
  }
  expect(timed(() => neutralise("\u202e".repeat(size / 4)))).toBeLessThan(2_000);
  expect(timed(() => neutralise("\u0301".repeat(size / 4)))).toBeLessThan(2_000);
});

function timed(work: () => void): number {
  const from = performance.now();
  work();
  return performance.now() - from;
}
