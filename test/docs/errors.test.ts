import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { DECISION_REFUSALS } from "../../src/consent/entries.ts";
import { FAULTS } from "../../src/errors.ts";
import { API_PROBLEMS } from "../../src/transport/http/problem.ts";
import { REFUSALS } from "../../src/request/refusal.ts";

// Whoever meets a code finds a heading of that name, and a heading that no code has is a lie about the product.

const root = join(import.meta.dirname, "../..");

/** Headings of the third level under a heading of the second; ` (…)` tells apart two lists' use of one word. */
let sections: ReadonlyMap<string, readonly string[]>;
let staleReasons: readonly string[];

beforeAll(async () => {
  const text = await readFile(join(root, "docs/errors.md"), "utf8");
  sections = new Map(
    text
      .split(/^## /m)
      .slice(1)
      .map((section) => [
        section.slice(0, section.indexOf("\n")),
        [...section.matchAll(/^### (\w+)(?: \(\w+\))?$/gm)].map((heading) => heading[1] ?? ""),
      ]),
  );
  const source = await readFile(join(root, "src/request/entries.ts"), "utf8");
  const union = /type StaleReason =([^;]+);/.exec(source)?.[1] ?? "";
  staleReasons = [...union.matchAll(/"(\w+)"/g)].map((reason) => reason[1] ?? "");
});

const headings = (section: string): readonly string[] => sections.get(section)?.toSorted() ?? [];

describe("docs/errors.md", () => {
  test("has one heading for every fault, and no other", () => {
    expect(headings("Faults")).toEqual(Object.keys(FAULTS).toSorted());
  });

  test("has one heading for every refusal of a call, and no other", () => {
    expect(headings("Refusals")).toEqual(Object.keys(REFUSALS).toSorted());
  });

  test("has one heading for every reason why a decision doesn't count, and no other", () => {
    expect(headings("Decisions that don't count")).toEqual(Object.keys(DECISION_REFUSALS).toSorted());
  });

  test("has one heading for every reason why a request goes stale, and no other", () => {
    expect(staleReasons.length).toBeGreaterThan(3);
    expect(headings("Why a request went stale")).toEqual(staleReasons.toSorted());
  });

  test("has one heading for every problem of the API, and no other", () => {
    expect(headings("Problems of the API")).toEqual(Object.keys(API_PROBLEMS).toSorted());
  });

  test("has no other lists of codes", () => {
    expect([...sections.keys()]).toEqual([
      "Faults",
      "Refusals",
      "Decisions that don't count",
      "Why a request went stale",
      "Problems of the API",
    ]);
  });
});
