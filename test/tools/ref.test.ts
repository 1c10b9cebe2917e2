import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAllowedRef, isRefName, isRefPattern, parseRef } from "../../tools/git/ref.ts";

const gitAccepts = (name: string): boolean => {
  try {
    execFileSync("git", ["check-ref-format", `refs/heads/${name}`], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
};

test("every name that is accepted here is one that git accepts (git-check-ref-format)", () => {
  const piece = fc.constantFrom(
    "a",
    "B",
    "-",
    ".",
    "..",
    "/",
    "//",
    "@",
    "{",
    "@{",
    ".lock",
    "lock",
    "~",
    "^",
    ":",
    "?",
    "*",
    "[",
    "\\",
    " ",
    "ü",
    "🚀",
    "$",
    "(",
    "'",
    '"',
    ";",
    "%",
    "#",
    "\u007f",
    "\u0001",
  );
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("")),
      (name) => {
        if (isRefName(name)) expect(gitAccepts(name)).toBe(true);
        // And the other way round, but for what we leave out on purpose.
        else if (!name.startsWith("-") && !/[\p{Zs}\p{Cf}]/u.test(name) && name !== "@")
          expect(gitAccepts(name)).toBe(false);
      },
    ),
    { numRuns: 250 },
  );
});

describe("what an agent may say", () => {
  test("a short name, a full name, a commit", () => {
    expect(parseRef("main")).toEqual({ kind: "short", name: "main" });
    expect(parseRef("heads/main")).toEqual({ kind: "short", name: "heads/main" });
    expect(parseRef("refs/heads/a/b")).toEqual({ kind: "full", family: "heads", name: "a/b" });
    expect(parseRef("refs/tags/v1")).toEqual({ kind: "full", family: "tags", name: "v1" });
    expect(parseRef("0123456789abcdef0123456789abcdef01234567")).toMatchObject({ kind: "commit" });
  });
  test("short and upper-case commit ids are names like any other, and other families are none", () => {
    expect(parseRef("0123456")).toMatchObject({ kind: "short" });
    expect(parseRef("0123456789ABCDEF0123456789ABCDEF01234567")).toMatchObject({ kind: "short" });
    expect(parseRef("refs/pull/1/head")).toBeUndefined();
    expect(parseRef("refs/heads/a\nb")).toBeUndefined();
  });
});

describe("what an operator allows", () => {
  const allows = (name: string, ...patterns: string[]): boolean => isAllowedRef("heads", name, patterns);
  test("a star stands for a part of a name, two stars for any name", () => {
    expect(allows("main", "*")).toBe(true);
    expect(allows("feature/x", "*")).toBe(false);
    expect(allows("release/1.2", "release/*")).toBe(true);
    expect(allows("release/1/2", "release/*")).toBe(false);
    expect(allows("release/1/2", "release/**")).toBe(true);
    expect(allows("release/", "release/*")).toBe(true);
    expect(allows("xmain", "main")).toBe(false);
    expect(allows("main", "main*", "x")).toBe(true);
    expect(allows("v1-rc", "v*-rc")).toBe(true);
    expect(allows("a.b", "a?b")).toBe(false);
    expect(allows("anything/at/all", "**")).toBe(true);
  });
  test("a pattern may name one family", () => {
    expect(isAllowedRef("heads", "v1", ["tags/v*"])).toBe(false);
    expect(isAllowedRef("tags", "v1", ["tags/v*"])).toBe(true);
    expect(isAllowedRef("tags", "v1", ["heads/v*"])).toBe(false);
    expect(isAllowedRef("tags", "main", ["main"])).toBe(true);
  });
  test("patterns agree with an expression made of them", () => {
    const letter = fc.constantFrom("a", "b", "/", "*", "**");
    const pattern = fc.array(letter, { minLength: 1, maxLength: 7 }).map((parts) => parts.join(""));
    const name = fc.array(fc.constantFrom("a", "b", "/"), { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(pattern, name, (text, ref) => {
        fc.pre(!/^(heads|tags)\//.test(text));
        const oracle = new RegExp(
          `^${text.replaceAll(/\*\*+/g, "\0").replaceAll("*", "[^/]*").replaceAll("\0", ".*")}$`,
        );
        expect(allows(ref, text)).toBe(oracle.test(ref));
      }),
      { numRuns: 2_000 },
    );
  });
  test("a pattern of stars takes no time to speak of", () => {
    const started = performance.now();
    expect(allows("a".repeat(200), `${"*a".repeat(60)}b`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(200);
    expect(isRefPattern("-x")).toBe(false);
    expect(isRefPattern("a b")).toBe(false);
  });
});
