import fc from "fast-check";
import { stripComments } from "jsonc-parser";
import { expect, test } from "vitest";
import { dropEntry, putEntry, type Edit, type EditedConfig } from "../../src/cli/hosts/edit-config.ts";
import { configText, valueText } from "../support/json-text.ts";

// Does a host's file keep everything that is not ours, whatever it looks like?

const [SECTION, NAME] = ["mcpServers", "countersign"];
const place = { file: "mcp.json", section: SECTION, name: NAME };
const ENTRY = {
  command: "/usr/bin/node",
  args: ["/opt/c.js", "mcp", "--home", "/h", "// no comment"],
  timeout: 3600000,
};
const RUNS = { numRuns: 1_000 };

/** What plain JSON.parse makes of it once comments and trailing commas are gone: the oracle. */
function meaning(text: string): unknown {
  const bare = stripComments(text.replace(/^\uFEFF/, ""));
  // A comma before a closing bracket, outside strings.
  const strict = bare.replaceAll(
    /("(?:\\.|[^"\\])*")|,(\s*[}\]])/g,
    (_, string?: string, close?: string) => string ?? close ?? "",
  );
  return JSON.parse(strict);
}

type Tree = Record<string, unknown>;

/** A merge that keeps keys such as __proto__ as what they are. */
const merged = (tree: unknown, key: string, value: unknown): Tree =>
  Object.fromEntries([...Object.entries(tree as Tree).filter(([name]) => name !== key), [key, value]]);

/** Everything but the edits, put together from the edits alone. */
function undone(edited: EditedConfig): string {
  const mark = edited.text.startsWith("\uFEFF") ? "\uFEFF" : "";
  let text = edited.text.slice(mark.length);
  for (const { offset, removed, inserted } of edited.edits.toReversed() as Edit[]) {
    const at =
      offset +
      edited.edits
        .filter((one) => one.offset < offset)
        .reduce((sum, one) => sum + one.inserted.length - one.removed.length, 0);
    expect(text.slice(at, at + inserted.length)).toBe(inserted);
    text = text.slice(0, at) + removed + text.slice(at + inserted.length);
  }
  return mark + text;
}

test("parse(put(text)) is the merge, and every byte beside the one key stays", () => {
  fc.assert(
    fc.property(configText(SECTION, NAME, fc.option(valueText)), (text) => {
      const edited = putEntry(text, place, ENTRY);
      const before = meaning(text) as Tree;
      const section = Object.hasOwn(before, SECTION) ? before[SECTION] : {};
      expect(meaning(edited.text)).toEqual(merged(before, SECTION, merged(section, NAME, ENTRY)));
      expect(undone(edited)).toBe(text);
      const isThere = edited.before !== undefined;
      // What is removed is the old value and nothing else; nothing at all where there was none.
      const removed = edited.edits.map((edit) => edit.removed).join("");
      if (isThere && removed !== "") expect(meaning(removed)).toEqual((section as Tree)[NAME]);
      if (!isThere) expect(removed).toBe("");
      expect(putEntry(edited.text, place, ENTRY).edits).toEqual([]);
    }),
    RUNS,
  );
});

test("parse(drop(text)) lacks the one key, and what goes is the key, its value, a comma and white space", () => {
  fc.assert(
    fc.property(configText(SECTION, NAME, valueText), (text) => {
      const edited = dropEntry(text, place);
      const before = meaning(text) as Tree;
      if (Object.hasOwn(before, SECTION)) {
        const section = Object.fromEntries(
          Object.entries(before[SECTION] as Tree).filter(([key]) => key !== NAME),
        );
        expect(meaning(edited.text)).toEqual(merged(before, SECTION, section));
      } else expect(edited.text).toBe(text);
      expect(undone(edited)).toBe(text);
      expect(edited.edits.map((edit) => edit.inserted).join("")).toBe("");
      for (const { removed } of edited.edits) {
        if (removed.trim() === "," || removed.trim() === "") continue;
        expect(removed.trim()).toMatch(/^"countersign"/);
      }
      expect(dropEntry(edited.text, place).edits).toEqual([]);
    }),
    RUNS,
  );
});

test("what was put is taken out without a trace (E3)", () => {
  fc.assert(
    fc.property(configText(SECTION, NAME, fc.constant(null)), (text) => {
      const tree = meaning(text) as Tree;
      const section = Object.hasOwn(tree, SECTION) ? (tree[SECTION] as Tree) : {};
      fc.pre(Object.keys(section).length > 0);
      expect(dropEntry(putEntry(text, place, ENTRY).text, place).text).toBe(text);
    }),
    RUNS,
  );
});
