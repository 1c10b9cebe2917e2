import fc from "fast-check";

// Arbitrary JSON as people write it: comments, any indentation, either line end, trailing commas, a byte order mark.

const comment = fc
  .tuple(fc.constantFrom("", "note", '} { "x": 1,', "é // ☃", "* /"), fc.boolean())
  .map(([words, isBlock]) => (isBlock ? `/* ${words} */` : `// ${words}\n`));

const space = fc
  .array(
    fc.oneof({ weight: 6, arbitrary: fc.constantFrom("", " ", "  ", "\t", "\n", "\n  ", "\n\t") }, comment),
    {
      maxLength: 3,
    },
  )
  .map((parts) => parts.join(""));

const scalar = fc.oneof(
  fc.constantFrom("null", "true", "-0.5e3", "12345678901234567890", "1.10"),
  fc.string({ maxLength: 6 }).map((text) => JSON.stringify(text)),
  fc.constantFrom(String.raw`"\u0041\"//"`, '"/* no comment */"'),
);

export interface JsonText {
  readonly text: string;
  /** Keys of the object in order, with the text of each value. */
  readonly keys: readonly string[];
}

/** Text of an object with these properties; values are texts. */
export const objectText = (
  properties: fc.Arbitrary<readonly (readonly [string, string])[]>,
): fc.Arbitrary<string> =>
  fc
    .tuple(properties, fc.array(space, { minLength: 60, maxLength: 60 }), fc.boolean())
    .map(([pairs, spaces, hasComma]) => {
      let at = 0;
      const gap = (): string => spaces[at++ % spaces.length] ?? "";
      const inner = pairs.map(
        ([key, value]) => `${gap()}${JSON.stringify(key)}${gap()}:${gap()}${value}${gap()}`,
      );
      return `{${inner.join(",")}${hasComma && pairs.length > 0 ? `,${gap()}` : gap()}}`;
    });

const key = (not: readonly string[]): fc.Arbitrary<string> =>
  fc
    .oneof(fc.constantFrom("a", "mcp", "x.y", "", "__proto__", 'q"uote', "ключ"), fc.string({ maxLength: 4 }))
    .filter((name) => !not.includes(name));

export const valueText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    objectText(fc.array(fc.tuple(key([]), tie("value")), { maxLength: 3 })),
    fc
      .tuple(fc.array(tie("value"), { maxLength: 3 }), space, fc.boolean())
      .map(
        ([items, gap, hasComma]) =>
          `[${gap}${items.join(`,${gap}`)}${hasComma && items.length > 0 ? "," : ""}]`,
      ),
  ),
})).value;

/** Other properties, and perhaps one more, somewhere between them. */
export const propertiesWith = (
  name: string,
  special: fc.Arbitrary<string | null>,
): fc.Arbitrary<readonly (readonly [string, string])[]> =>
  fc
    .tuple(
      fc.uniqueArray(fc.tuple(key([name]), valueText), { maxLength: 4, selector: ([one]) => one }),
      special,
      fc.nat(4),
    )
    .map(([others, value, place]) => {
      const all: (readonly [string, string])[] = [...others];
      if (value !== null) all.splice(Math.min(place, all.length), 0, [name, value]);
      return all;
    });

/** A host's file. `entry`: what stands under the name, if anything does. */
export const configText = (
  section: string,
  name: string,
  entry: fc.Arbitrary<string | null>,
): fc.Arbitrary<string> =>
  fc
    .tuple(
      objectText(propertiesWith(section, fc.option(objectText(propertiesWith(name, entry)), { freq: 5 }))),
      space,
      space,
      fc.boolean(),
      fc.boolean(),
    )
    .map(([object, before, after, isWindows, hasMark]) => {
      const text = `${before}${object}${after}`;
      return `${hasMark ? "\uFEFF" : ""}${isWindows ? text.replaceAll("\n", "\r\n") : text}`;
    });
