import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { z } from "zod";
import { editDistance, nearest } from "../../src/base/suggest.ts";
import {
  formatPath,
  formatSourceError,
  parseYaml,
  sourceErrors,
  type YamlSource,
} from "../../src/base/yaml.ts";

const read = (text: string): YamlSource => {
  const parsed = parseYaml(text, "policy.yaml");
  if (!parsed.ok) throw new Error(parsed.error.map(formatSourceError).join("\n"));
  return parsed.value;
};
const refusals = (text: string): string[] => {
  const parsed = parseYaml(text, "policy.yaml");
  return parsed.ok ? [] : parsed.error.map(formatSourceError);
};

test("keeps on, no and dates as the text that people typed", () => {
  expect(read("a: on\nb: no\nc: 2026-11-21\nd: 0x10\ne: ~\n").value).toEqual({
    a: "on",
    b: "no",
    c: "2026-11-21",
    d: 16,
    e: null,
  });
});

test("refuses what two readers could understand differently, with its place", () => {
  expect(refusals("a: 1\na: 2\n")).toEqual(["policy.yaml:2:1 the same key twice in one mapping"]);
  expect(refusals("a: &x {b: 1}\nc:\n  <<: *x\n")).toEqual([
    "policy.yaml:3:3 c: a merge key; write the keys out",
  ]);
  expect(refusals("a:\n  1: x\n")).toEqual(["policy.yaml:2:3 a: a key that is not text; write it in quotes"]);
  expect(refusals("a: !!binary aGk=\n")).toEqual(["policy.yaml:1:13 a: a tag (tag:yaml.org,2002:binary)"]);
  expect(refusals("a: !mine x\n")[0]).toMatch(/^policy\.yaml:1:4 not YAML: unresolved tag/);
  expect(refusals("a: 1\n---\nb: 2\n")).toEqual(["policy.yaml:2:1 several documents in one file"]);
  expect(refusals("%YAML 1.1\n---\na: no\n")).toEqual([
    "policy.yaml:1:1 a %YAML directive other than 1.2; remove it",
  ]);
  expect(refusals("a: 9007199254740993\n")).toEqual([
    "policy.yaml:1:4 a: a number beyond ±(2^53−1); write it in quotes",
  ]);
  expect(refusals("a: .inf\n")[0]).toContain("policy.yaml:1:4 a: Infinity");
  expect(refusals('a: "\\uD800"\n')[0]).toContain("a lone surrogate");
  expect(refusals("__proto__: {x: 1}\n")[0]).toContain("a key named __proto__");
  expect(refusals("a: *nowhere\n")).toEqual(["policy.yaml:1:4 a: no anchor &nowhere before this alias"]);
  expect(refusals("a: [1,\n")[0]).toMatch(/^policy\.yaml:\d+:\d+ not YAML: /);
});

test("an alias repeats a value, but a bomb of aliases is refused", () => {
  expect(read("a: &x [1, 2]\nb: *x\n").value).toEqual({ a: [1, 2], b: [1, 2] });
  const bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 10; i += 1)
    bomb.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  const started = performance.now();
  expect(refusals(bomb.join("\n")).join()).toContain("aliases expand to too much");
  expect(performance.now() - started).toBeLessThan(2_000);
  expect(refusals("a: &a [*a]\n").join()).toMatch(/nested deeper|no anchor/);
});

test("locates keys, values, list items and what is missing", () => {
  const source = read("rules:\n  - id: a\n    match: { tool: x }\n  - id: b\n    when:\n");
  expect(source.locate(["rules", 0, "match", "tool"])).toEqual({ line: 3, column: 20 });
  expect(source.locate(["rules", 0, "match", "tool"], "key")).toEqual({ line: 3, column: 14 });
  expect(source.locate(["rules", 1])).toEqual({ line: 4, column: 5 });
  expect(source.locate(["rules", 1, "when"])).toEqual({ line: 5, column: 5 });
  expect(source.locate(["rules", 1, "verdict"])).toEqual({ line: 4, column: 5 });
  expect(source.locate([])).toEqual({ line: 1, column: 1 });
});

test("a zod error becomes a line with place, path and suggestion", () => {
  const schema = z.strictObject({
    version: z.literal(1),
    rules: z.array(
      z.strictObject({
        id: z.string(),
        verdict: z.enum(["allow", "deny", "hold"]),
        quorum: z.number().int().min(1).optional(),
        ssh: z.union([z.string(), z.strictObject({ fingerprint: z.string() })]).optional(),
      }),
    ),
  });
  const source = read(
    [
      "version: 2",
      "rules:",
      "  - id: a",
      "    verdict: alow",
      "    quorom: 2",
      "  - id: [b]",
      "    verdict: deny",
      "    quorum: 0",
      "    ssh: 7",
      "  - verdict: deny",
      "    id: c",
      "    ssh: { fingerprnt: x }",
      "  - id: d",
      "rulez: 1",
    ].join("\n"),
  );
  const parsed = schema.safeParse(source.value);
  expect(parsed.success).toBe(false);
  expect(sourceErrors(source, parsed.error!, schema).map(formatSourceError)).toEqual([
    "policy.yaml:1:10 version: expected 1; got 2",
    'policy.yaml:4:14 rules[0].verdict: expected allow, deny or hold; got "alow"; did you mean allow?',
    "policy.yaml:5:5 rules[0].quorom: unknown key; did you mean quorum?",
    "policy.yaml:6:9 rules[1].id: expected text, got a list",
    "policy.yaml:8:13 rules[1].quorum: expected at least 1, got 0",
    "policy.yaml:9:10 rules[1].ssh: expected text or a mapping, got 7",
    "policy.yaml:12:10 rules[2].ssh.fingerprint: missing; expected text",
    "policy.yaml:12:12 rules[2].ssh.fingerprnt: unknown key; did you mean fingerprint?",
    "policy.yaml:13:5 rules[3].verdict: missing; expected allow, deny or hold",
    "policy.yaml:14:1 rulez: unknown key; did you mean rules?",
  ]);
});

// The character of the file at a place must be the character of the value at the offset: the mapping's definition.
function expectMapped(text: string, path: string[]): void {
  const source = read(text);
  const value = path.reduce<unknown>(
    (at, step) => (at as Record<string, unknown>)[step],
    source.value,
  ) as string;
  const lines = text.split("\n");
  const place = source.inside(path);
  for (let i = 0; i < value.length; i += 1) {
    if (/\s/.test(value[i]!)) continue;
    const { line, column } = place(i);
    expect(`${i}:${lines[line - 1]![column - 1]}`).toBe(`${i}:${value[i]}`);
  }
}

test("an offset inside a scalar points at its own line and column, in every style of scalar", () => {
  const when = 'args.bucket == "x" && preview.counts.delete > 0';
  expectMapped(`when: ${when}\n`, ["when"]);
  expectMapped(`when: '${when}'\n`, ["when"]);
  expectMapped("a: 1\nwhen: |\n  args.a == 1 &&\n\n    args.b == 2\n", ["when"]);
  expectMapped("when: >-\n  args.a == 1 &&\n  args.b == 2\n\n  || args.c\nz: 1\n", ["when"]);
  expectMapped("a:\n  when: |4 # comment\n        args.a\n      ||  args.b\n", ["a", "when"]);
  expectMapped("when: args.a == 1 &&\n  args.b == 2\n", ["when"]);
  expectMapped('when: "args.a == 1 &&\n args.b == 2"\n', ["when"]);
  const source = read("rules:\n  - when: |\n      args.a == 1 &&\n      args.b == 2\n");
  expect(source.inside(["rules", 0, "when"])("args.a == 1 &&\n".length)).toEqual({ line: 4, column: 7 });
  const quoted = read("w: 'it''s x'\nd: \"a\\t\\\"b\\u0041 \\\n  c\"\n");
  expect(quoted.inside(["w"])("it's ".length)).toEqual({ line: 1, column: 11 });
  expect(quoted.value).toEqual({ w: "it's x", d: 'a\t"bA c' });
  expect([1, 2, 3, 4, 6].map((i) => quoted.inside(["d"])(i).column)).toEqual([6, 8, 10, 11, 3]);
  expect(quoted.inside(["d"])(6).line).toBe(3);
});

test("any text written by the yaml package maps back to its own characters", () => {
  const word = fc.stringMatching(/^[a-z"'=&|.()# é]{1,12}$/);
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 8 }),
      fc.constantFrom("PLAIN", "QUOTE_SINGLE", "BLOCK_LITERAL", "BLOCK_FOLDED"),
      fc.integer({ min: 20, max: 60 }),
      (words, type, lineWidth) => {
        const value = words.join(" ").trim();
        fc.pre(value !== "");
        const text = stringify({ a: { w: value } }, { defaultStringType: type as "PLAIN", lineWidth });
        fc.pre(parseYaml(text, "f").ok && !text.includes("\\"));
        if (/w: '/.test(text) && value.includes("'")) return; // doubled quotes differ by construction
        expectMapped(text, ["a", "w"]);
      },
    ),
    { numRuns: 500 },
  );
});

test("suggests slips of the keyboard and nothing far-fetched", () => {
  expect(nearest("quorom", ["quorum", "rules"])).toBe("quorum");
  expect(nearest("bukcet", ["bucket", "format"])).toBe("bucket");
  expect(nearest("SRE", ["sre", "security"])).toBe("sre");
  expect(nearest("zzz", ["sre", "security"])).toBeNull();
  expect(editDistance("ab", "ba")).toBe(1);
  expect(formatPath(["people", "a b", "ssh", 0])).toBe('people["a b"].ssh[0]');
});
