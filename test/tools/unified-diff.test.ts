import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { diffHunks } from "../../tools/deploy_service/unified-diff.ts";

const dir = mkdtempSync(join(tmpdir(), "cs-diff-"));
afterAll(() => rmSync(dir, { recursive: true }));

// An independent reading of the format: what stands on the `-` and ` ` lines must be the old text where the hunk says
// it is, and the result is what stands on the `+` and ` ` lines.
function apply(before: string, hunks: string): string {
  const lines = before === "" ? [] : before.split(/(?<=\n)/);
  const out: string[] = [];
  let at = 0;
  const parts = hunks.split(/(?<=\n)/);
  for (let i = 0; i < parts.length; i += 1) {
    const part = parts[i] as string;
    const head = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n$/.exec(part);
    if (head !== null) {
      const start = Number(head[1]) - (head[2] === "0" ? 0 : 1);
      while (at < start) out.push(lines[at++] as string);
      expect(out.length).toBe(Number(head[3]) - (head[4] === "0" ? 0 : 1));
      continue;
    }
    if (part === "" || part.startsWith("\\")) continue;
    const bare = parts[i + 1]?.startsWith("\\") === true ? part.slice(1, -1) : part.slice(1);
    if (part[0] !== "+") expect(lines[at++]).toBe(bare);
    if (part[0] !== "-") out.push(bare);
  }
  return out.join("") + lines.slice(at).join("");
}

const line = fc.constantFrom("a\n", "b\n", "c\n", "\n", "+x\n", "-y\n", "@@ -1 +1 @@\n", " z\n", "\r\n");
const body = fc
  .tuple(fc.array(line, { maxLength: 40 }), fc.constantFrom("", "tail"))
  .map(([lines, end]) => lines.join("") + end);

test("applying the diff to the old text gives the new one", () => {
  fc.assert(
    fc.property(body, body, (before, after) => {
      expect(apply(before, diffHunks(before, after))).toBe(after);
    }),
    { numRuns: 3_000 },
  );
});

test("git reads it and agrees, and it is as short as git's own", () => {
  fc.assert(
    fc.property(body, body, (before, after) => {
      fc.pre(before !== after && before !== "" && after !== "");
      const hunks = diffHunks(before, after);
      writeFileSync(join(dir, "f"), before);
      execFileSync("git", ["apply", "--whitespace=nowarn", "--unidiff-zero", "-"], {
        cwd: dir,
        input: `--- a/f\n+++ b/f\n${hunks}`,
        env: { PATH: "/usr/bin:/bin", GIT_CONFIG_NOSYSTEM: "1", HOME: dir, GIT_CEILING_DIRECTORIES: "/" },
      });
      expect(readFileSync(join(dir, "f"), "utf8")).toBe(after);
      writeFileSync(join(dir, "old"), before);
      writeFileSync(join(dir, "new"), after);
      let git = "";
      try {
        execFileSync("git", ["diff", "--no-index", "--minimal", "--diff-algorithm=minimal", "old", "new"], {
          cwd: dir,
        });
      } catch (error) {
        git = String((error as { stdout: Buffer }).stdout);
      }
      const changes = (text: string): number =>
        text
          .split("\n")
          .filter((one) => /^[+-]/.test(one) && !/^(\+\+\+ |--- )(a\/|b\/)?(old|new)$/.test(one)).length;
      expect(changes(hunks)).toBeLessThanOrEqual(changes(git));
    }),
    { numRuns: 60 },
  );
});

describe("the form", () => {
  test("changes near each other share a hunk, changes far apart do not", () => {
    const lines = Array.from({ length: 40 }, (_, i) => `l${i}\n`);
    const change = (...at: number[]): string =>
      lines.map((one, i) => (at.includes(i) ? "X\n" : one)).join("");
    const count = (text: string): number => text.split("\n").filter((one) => one.startsWith("@@")).length;
    expect(count(diffHunks(lines.join(""), change(5, 11)))).toBe(1);
    expect(count(diffHunks(lines.join(""), change(5, 13)))).toBe(2);
    expect(diffHunks(lines.join(""), change(20))).toBe(
      "@@ -18,7 +18,7 @@\n l17\n l18\n l19\n-l20\n+X\n l21\n l22\n l23\n",
    );
  });
  test("a missing newline at the end is shown", () => {
    expect(diffHunks("a\n", "a")).toBe("@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
    expect(diffHunks("", "a\n")).toBe("@@ -0,0 +1 @@\n+a\n");
    expect(diffHunks("a\n", "")).toBe("@@ -1 +0,0 @@\n-a\n");
    expect(diffHunks("a\n", "a\n")).toBe("");
  });
});

test("texts without anything in common are still shown whole, in bounded time", () => {
  const before = Array.from({ length: 50_000 }, (_, i) => `a${i}\n`).join("");
  const after = Array.from({ length: 50_000 }, (_, i) => `b${i}\n`).join("");
  const started = performance.now();
  const hunks = diffHunks(before, after);
  expect(performance.now() - started).toBeLessThan(5_000);
  expect(apply(before, hunks)).toBe(after);
});
