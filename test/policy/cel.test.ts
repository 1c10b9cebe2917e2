import { expect, test } from "vitest";
import { MAX_MATCHED_TEXT, MAX_WALKED_ITEMS } from "../../src/policy/cel.ts";
import type { PolicyInput } from "../../src/policy/policy.ts";
import { input, loadRules, ruleErrors } from "../support/policy.ts";

// Arguments come from an attacker. Can they make the gate slow, or make a condition say what its author did not?

const rule = (when: string, verdict = "deny"): string =>
  `- { id: r, match: { tool: '*' }, when: ${JSON.stringify(when)}, verdict: ${verdict} }`;
const errors = (when: string): string[] =>
  ruleErrors(rule(when)).map((line) => line.replace("rules[0].when: ", ""));
const outcome = (when: string, args: PolicyInput["args"]): string => {
  const verdict = loadRules(rule(when)).evaluate(input({ args }));
  if (verdict.verdict !== "deny") return "false";
  return verdict.rules[0]?.error?.code ?? "true";
};
const timed = (work: () => unknown): number => {
  const started = performance.now();
  work();
  return performance.now() - started;
};

test("a pattern cannot be made to backtrack (E1)", () => {
  const policy = loadRules(rule('args.s.regex("^(a+)+$")'));
  const args = { s: `${"a".repeat(MAX_MATCHED_TEXT - 1)}!` };
  let verdict: unknown;
  expect(timed(() => (verdict = policy.evaluate(input({ args })).verdict))).toBeLessThan(1_000);
  expect(verdict).toBe("hold");
  expect(errors('args.s.matches("(a+)+$")')).toEqual([
    "matches() can be made to run for seconds; use regex(), which can't",
  ]);
  const glob = loadRules(rule('args.s.glob("*a*a*a*a*a*a*b")'));
  expect(timed(() => glob.evaluate(input({ args: { s: "a".repeat(MAX_MATCHED_TEXT) } })))).toBeLessThan(500);
});

test("a text too long to match is an error, so it fails closed", () => {
  const args = { s: "a".repeat(MAX_MATCHED_TEXT + 1) };
  expect(outcome('args.s.regex("b")', args)).toBe("text_too_long");
  expect(outcome('args.s.glob("b*")', args)).toBe("text_too_long");
  const policy = loadRules(rule('args.s.regex("^a+$")', "allow"));
  expect(policy.evaluate(input({ args })).verdict).toBe("hold");
});

test("patterns are checked at load, written out, and never look ahead", () => {
  expect(errors('args.s.regex("(?=a)")')).toEqual([
    "not a pattern: invalid or unsupported Perl syntax: `(?=`",
  ]);
  expect(errors('args.s.regex("(a")')).toEqual(["not a pattern: missing closing ): `(a`"]);
  expect(errors("args.s.regex(args.p)")).toEqual([
    "regex() takes a pattern written out, so that it is checked when the policy loads",
  ]);
  expect(errors('args.s.glob("a" + "*")')).toHaveLength(1);
  expect(errors(`args.s.regex("${"a".repeat(1_001)}")`)).toEqual(["a pattern longer than 1000 characters"]);
});

test("loops don't nest, and walk lists of at most a thousand", () => {
  expect(errors("args.l.all(x, args.l.all(y, x == y))")).toEqual(["all() inside another loop"]);
  expect(errors("args.l.map(x, args.l.filter(y, y == x)) == []")).toEqual(["filter() inside another loop"]);
  expect(errors('args.s.split(",").exists(x, x == "a")')).toEqual([
    "a loop over split(); loop over a list of the call",
  ]);
  expect(errors('(args.b ? args.s.split(",") : []).exists(x, x == "a")')).toHaveLength(1);
  expect(errors("args.l.exists(args, args == 1)")).toEqual([
    '"args" is a variable already; use another name',
  ]);
  const list = (length: number) => ({ l: Array.from({ length }, () => 1) });
  expect(outcome("args.l.exists(x, x == 2)", list(MAX_WALKED_ITEMS))).toBe("false");
  expect(outcome("args.l.exists(x, x == 2)", list(MAX_WALKED_ITEMS + 1))).toBe("list_too_long");
  expect(outcome("size(args.l) > 1000", list(MAX_WALKED_ITEMS + 1))).toBe("true");
  const map = Object.fromEntries(Array.from({ length: MAX_WALKED_ITEMS + 1 }, (_, i) => [`k${i}`, 1]));
  expect(outcome('args.m.exists(k, k == "x")', { m: map })).toBe("list_too_long");
});

test("conditions have a size", () => {
  expect(errors(Array.from({ length: 200 }, (_, i) => `args.a == ${i}`).join(" || "))).toEqual([
    "exceeded maxAstNodes (500)",
  ]);
  expect(errors(`${"(".repeat(60)}true${")".repeat(60)}`)).toEqual(["exceeded maxDepth (40)"]);
});

test("a condition has no functions but ours", () => {
  expect(errors("cel.bind(x, args.a, x == 1)")).toEqual(["no function bind()"]);
  expect(errors("type(args.a) == int")).toContain("no function type()");
  expect(errors('timestamp("2026-01-01T00:00:00Z") < timestamp(args.t)').at(0)).toContain(
    "times are not available",
  );
  expect(errors('args.s.lowerAscii() == "x"')).toEqual(['lowerAscii() is not available; use regex("(?i)…")']);
  expect(errors("int(args.s) > 1").at(0)).toContain("int() is not available");
  expect(errors("string(args.n) == args.s")).toEqual(["no function string()"]);
  expect(errors('args.s.startWith("x")')).toEqual(["no function startWith(); did you mean startsWith?"]);
  expect(errors('args.a == b"x"')).toEqual(["bytes and unsigned numbers are not available"]);
  expect(errors("args.a == 1u")).toEqual(["bytes and unsigned numbers are not available"]);
  expect(errors("args.a > 9007199254740993")).toEqual(["a number beyond ±(2^53−1)"]);
});

test("keys that JavaScript objects inherit are missing, and own ones are data", () => {
  for (const key of ["constructor", "toString", "__proto__", "hasOwnProperty", "valueOf"]) {
    expect(outcome(`args["${key}"] == 1`, { a: 1 })).toBe("no_such_key");
    expect(outcome(`"${key}" in args`, { a: 1 })).toBe("false");
    expect(outcome(`"${key}" in args.m`, { m: Object.fromEntries([[key, 1]]) })).toBe("true");
  }
  expect(outcome('args.constructor == "x" && args.b == 1', { constructor: "x", b: 1 })).toBe("true");
  expect(outcome('args.m.b == "y"', JSON.parse('{"m":{"__proto__":{"b":"y"}}}') as PolicyInput["args"])).toBe(
    "no_such_key",
  );
});

test("whole numbers compare and add up, whatever JSON calls them", () => {
  expect(outcome("args.n + 1 > 100", { n: 100 })).toBe("true");
  expect(outcome("args.n > 0.5", { n: 1 })).toBe("true");
  expect(outcome("args.n == 1.0", { n: 1 })).toBe("true");
  expect(outcome("args.n == 1", { n: 1.5 })).toBe("false");
  expect(outcome("args.n in [1, 2]", { n: 2 })).toBe("true");
  expect(outcome("args.list == [1, 2]", { list: [1, 2] })).toBe("true");
  expect(outcome('args.o == {"a": 1}', { o: { a: 1 } })).toBe("true");
});

test("a condition that gives no truth value is an error", () => {
  expect(outcome("args.a", { a: "yes" })).toBe("not_bool");
  expect(outcome("args.a", { a: true })).toBe("true");
  expect(outcome("!args.a", { a: "yes" })).toBe("no_such_overload");
  expect(outcome("args.a ? true : false", { a: 1 })).toBe("invalid_condition_type");
  expect(outcome("args.l[3] == 1", { l: [1] })).toBe("index_out_of_bounds");
  expect(outcome("1 / args.n == 1", { n: 0 })).toBe("division_by_zero");
});

test("no message repeats a value of the call (L3)", () => {
  const secret = "hunter2";
  for (const when of [
    'args.m[args.k] == "x"',
    "args.k > 1",
    "args.k",
    "args.k.all(x, x == 1)",
    "args.k + 1 > 1",
    "args.l[0].a == 1",
  ]) {
    const verdict = loadRules(rule(when)).evaluate(input({ args: { k: secret, m: {}, l: [secret] } }));
    expect(verdict.rules[0]?.error, when).not.toBeNull();
    expect(JSON.stringify(verdict), when).not.toContain(secret);
  }
});

test("globs match whole texts, stars and question marks only", () => {
  const glob = (pattern: string, s: string): string => outcome(`args.s.glob("${pattern}")`, { s });
  expect(glob("release/*", "release/1.2")).toBe("true");
  expect(glob("release/*", "xrelease/1.2")).toBe("false");
  expect(glob("*-prod", "a-prod")).toBe("true");
  expect(glob("*-prod", "a-prod-b")).toBe("false");
  expect(glob("a*b*c", "a--b--b--c")).toBe("true");
  expect(glob("a*b*c", "ac")).toBe("false");
  expect(glob("a?c", "abc")).toBe("true");
  expect(glob("a?c", "ac")).toBe("false");
  expect(glob("a?*", "a")).toBe("false");
  expect(glob("ab*ba", "aba")).toBe("false");
  expect(glob("v1.2", "v1x2")).toBe("false");
});
