import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cellsOf } from "../../src/console/shown.ts";
import { createSheet } from "../../src/console/text.tsx";
import type { View } from "../../src/preview/view.ts";

const text = fc.string({ unit: "binary", maxLength: 40 }).filter((value) => value.isWellFormed());
const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);

const views: fc.Arbitrary<View> = fc.record({
  typ: fc.constant("countersign.view" as const),
  v: fc.constant(1 as const),
  effectLine: text,
  tool: text,
  effect: fc.constantFrom("write", "destructive"),
  targets: fc.array(fc.record({ kind: text, id: text, environment: text }), { maxLength: 3 }),
  arguments: fc.jsonValue().map((value) => JSON.stringify(value)),
  preview: fc.record({
    summary: text,
    verb: fc.constant("RUN"),
    changes: fc.array(
      fc.record({
        op: fc.constantFrom("create" as const, "delete" as const),
        resource: text,
        before: fc.option(text),
        after: fc.option(text),
      }),
      { maxLength: 3 },
    ),
    counts: fc.dictionary(name, fc.nat(), { maxKeys: 3 }),
    facts: fc.dictionary(name, fc.oneof(text, fc.nat(), fc.boolean()), { maxKeys: 3 }),
    warnings: fc.array(fc.record({ code: name, text }), { maxLength: 2 }),
    documents: fc.array(
      fc.record({
        title: text,
        kind: fc.constantFrom("diff" as const, "table" as const, "json" as const),
        body: text,
      }),
      { maxLength: 2 },
    ),
    complete: fc.boolean(),
    reversible: text,
    fidelity: fc.constant("exact" as const),
  }),
  rules: fc.array(fc.record({ id: text, because: fc.option(text) }), { maxLength: 2 }),
  reasoning: fc.record({ justification: fc.option(text), chain: fc.option(text) }),
  isolation: fc.constant("none" as const),
});

/** Every text and number of a view by its pointer. */
function leaves(value: unknown, at = ""): readonly string[] {
  if (value === null) return [];
  if (typeof value !== "object") return [at];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${at}/${key}`));
}

const OWN_WORDS = new Set(["/typ", "/v", "/preview/verb", "/preview/complete", "/isolation"]);

describe("what a page shows of a view", () => {
  test("every text and number of it is a cell, but for what the page says in its own words (S1)", () => {
    fc.assert(
      fc.property(views, (view) => {
        const cells = cellsOf(view).map(({ at }) => at);
        expect(new Set(cells).size).toBe(cells.length);
        expect(cells.toSorted()).toEqual(
          leaves(view)
            .filter((at) => !OWN_WORDS.has(at))
            .toSorted(),
        );
      }),
      { numRuns: 200 },
    );
  });

  test("no cell holds a character that hides or acts (P3)", () => {
    fc.assert(
      fc.property(views, (view) => {
        for (const cell of cellsOf(view)) {
          expect(cell.text).not.toMatch(
            /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/,
          );
        }
      }),
      { numRuns: 200 },
    );
  });

  test("an element's text is the cell's text to the letter, markers and diff lines included", () => {
    fc.assert(
      fc.property(views, (view) => {
        const sheet = createSheet(view);
        for (const { at, text: expected } of cellsOf(view)) {
          expect(textOf(String(sheet.cell(at)))).toBe(expected);
          expect(textOf(String(sheet.lines(at, () => undefined)))).toBe(expected);
        }
      }),
      { numRuns: 100 },
    );
  });
});

/** What a browser reads of our own escaped markup. */
const textOf = (html: string): string =>
  html
    .replace(/<[^>]*>/g, "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
