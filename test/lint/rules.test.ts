import { expect, test } from "vitest";
import { lint } from "../support/oxlint.ts";

// Each rule that the project relies on, and a file that must not pass.

const wrong: readonly (readonly [behaviour: string, rule: string, path: string, text: string])[] = [
  [
    "a promise nobody waits for",
    "typescript(no-floating-promises)",
    "src/gate/a.ts",
    "export const f = async (): Promise<number> => 1;\nf();\n",
  ],
  [
    "a promise used as a condition",
    "typescript(no-misused-promises)",
    "src/gate/a.ts",
    "const f = async (): Promise<boolean> => false;\nexport const g = (): number => (f() ? 1 : 2);\n",
  ],
  [
    "a switch that forgets a case",
    "typescript(switch-exhaustiveness-check)",
    "src/gate/a.ts",
    'export function f(x: "allow" | "deny"): void {\n  switch (x) {\n    case "allow":\n      return;\n  }\n}\n',
  ],
  [
    "a default that hides future cases of an exhaustive switch",
    "typescript(switch-exhaustiveness-check)",
    "src/gate/a.ts",
    'export function f(x: "allow"): number {\n  switch (x) {\n    case "allow":\n      return 1;\n    default:\n      return 2;\n  }\n}\n',
  ],
  ["any", "typescript(no-explicit-any)", "src/gate/a.ts", "export const x: any = 1;\n"],
  [
    "a thrown string",
    "typescript(only-throw-error)",
    "src/gate/a.ts",
    'export const f = (): never => {\n  throw "x";\n};\n',
  ],
  [
    "loose equality",
    "eslint(eqeqeq)",
    "src/gate/a.ts",
    "export const f = (x: unknown): boolean => x == null;\n",
  ],
  ["a catch that ignores", "eslint(no-empty)", "src/gate/a.ts", "try {\n  JSON.parse('');\n} catch {}\n"],
  [
    "output that would break the protocol on stdout",
    "eslint(no-console)",
    "src/cli/a.ts",
    "console.log(1);\n",
  ],
  [
    "a file name that isn't kebab-case",
    "unicorn(filename-case)",
    "src/gate/mintGrant.ts",
    "export const x = 1;\n",
  ],
  [
    "the environment read outside config",
    "node(no-process-env)",
    "src/gate/a.ts",
    "export const x = process.env;\n",
  ],
  ["a default export", "import(no-default-export)", "src/gate/a.ts", "export default 1;\n"],
  ["Math.random", "eslint(no-restricted-properties)", "src/gate/a.ts", "export const x = Math.random();\n"],
  ["a file of more than 400 lines", "eslint(max-lines)", "src/gate/a.ts", "export {};\n".repeat(401)],
  [
    "a mock of a module",
    "eslint(no-restricted-properties)",
    "test/gate/a.test.ts",
    'import { vi } from "vitest";\nvi.mock("../../src/gate/a.ts");\n',
  ],
  [
    "a test that can't fail",
    "vitest(expect-expect)",
    "test/gate/a.test.ts",
    'import { test } from "vitest";\ntest("a", () => {\n  JSON.parse("1");\n});\n',
  ],
  [
    "a test that keeps the others from running",
    "vitest(no-focused-tests)",
    "test/gate/a.test.ts",
    'import { expect, test } from "vitest";\ntest.only("a", () => {\n  expect(1).toBe(1);\n});\n',
  ],
];

test.each(wrong)("%s is refused", async (_behaviour, rule, path, text) => {
  const findings = await lint({ [path]: text }, { typeAware: rule.startsWith("typescript") });
  expect(findings.map((finding) => finding.rule)).toContain(rule);
});

test("two files that import values of each other are refused, types are not", async () => {
  const findings = await lint({
    "src/gate/a.ts": 'import { b } from "./b.ts";\nexport const a = (): unknown => b;\n',
    "src/gate/b.ts": 'import { a } from "./a.ts";\nexport const b = (): unknown => a;\n',
    "src/gate/c.ts": 'import type { D } from "./d.ts";\nexport const c = (d: D): D => d;\n',
    "src/gate/d.ts": 'import { c } from "./c.ts";\nexport type D = 1;\nexport const d = c(1);\n',
  });
  const cycles = findings.filter((finding) => finding.rule === "import(no-cycle)");
  expect(cycles.map((finding) => finding.file).toSorted()).toEqual(["src/gate/a.ts", "src/gate/b.ts"]);
});

test("scripts, benches and examples may print; config may read the environment", async () => {
  const findings = await lint({
    "scripts/build.mjs": "console.log(1);\n",
    "bench/run.ts": "console.log(1);\n",
    "examples/agent.ts": "console.log(1);\n",
    "src/config/load.ts": "export const x = process.env;\n",
  });
  expect(findings).toEqual([]);
});
