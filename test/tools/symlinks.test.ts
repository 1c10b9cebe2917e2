import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { linkProblem } from "../../tools/git/symlinks.ts";

const base = realpathSync(mkdtempSync(join(tmpdir(), "cs-links-")));
afterAll(() => rmSync(base, { recursive: true, force: true }));

// The kernel is the oracle: the same links are laid out on disk, and where a link that was let through leads anywhere,
// it leads to a place inside.
test("no set of links that is let through leads outside, as the kernel follows them", () => {
  const name = fc.constantFrom("a", "b", "c", "d");
  const part = fc.oneof(
    { weight: 3, arbitrary: name },
    { weight: 2, arbitrary: fc.constantFrom("..", ".", "") },
  );
  const target = fc
    .array(part, { minLength: 1, maxLength: 5 })
    .map((parts) => parts.join("/"))
    .filter((text) => text !== "" && !text.startsWith("/"));
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  let run = 0;
  let escapes = 0;
  fc.assert(
    fc.property(fc.dictionary(path, target, { minKeys: 1, maxKeys: 6 }), (wanted) => {
      const root = join(base, String(run++), "release");
      mkdirSync(root, { recursive: true });
      writeFileSync(join(dirname(root), "secret"), "x");
      const links = new Map<string, string>();
      for (const [at, to] of Object.entries(wanted)) {
        try {
          // As a tree has it: a link's parents are directories.
          const parents = at
            .split("/")
            .slice(0, -1)
            .map((_, i, all) => all.slice(0, i + 1).join("/"));
          if (parents.some((parent) => links.has(parent))) continue;
          mkdirSync(dirname(join(root, at)), { recursive: true });
          symlinkSync(to, join(root, at));
          links.set(at, to);
        } catch {
          continue;
        }
      }
      for (const at of links.keys()) {
        let real: string | undefined;
        try {
          real = realpathSync(join(root, at));
        } catch {
          real = undefined;
        }
        const inside = real === undefined || real === root || real.startsWith(`${root}/`);
        if (!inside) escapes += 1;
        if (linkProblem(at, links) === undefined) expect(inside).toBe(true);
      }
    }),
    { numRuns: 1_500 },
  );
  // The property is worth something only if there was something to refuse.
  expect(escapes).toBeGreaterThan(20);
});

test("what is refused says why", () => {
  const problem = (links: Record<string, string>, path = "l"): string | undefined =>
    linkProblem(path, new Map(Object.entries(links)));
  expect(problem({ l: "/etc/passwd" })).toBe("is absolute");
  expect(problem({ l: "../x" })).toBe("leaves the release");
  expect(problem({ l: "a/../../x" })).toBe("leaves the release");
  expect(problem({ l: "m", m: "l" })).toBe("goes round in circles");
  expect(problem({ l: "" })).toBe("is empty");
  expect(problem({ l: "x".repeat(2_000) })).toBe("is longer than 1024 bytes");
  expect(problem({ l: "a/b/../c" })).toBeUndefined();
  expect(problem({ "a/l": "../b" }, "a/l")).toBeUndefined();
});

test("links that double at each hop come to an end", () => {
  const links = new Map(
    Array.from({ length: 40 }, (_, i) => [
      `l${i}`,
      Array(200)
        .fill(`l${i + 1}`)
        .join("/")
        .slice(0, 1_000),
    ]),
  );
  const started = performance.now();
  linkProblem("l0", links);
  expect(performance.now() - started).toBeLessThan(500);
});
