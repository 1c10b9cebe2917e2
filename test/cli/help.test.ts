import { expect, test } from "vitest";
import { ANYWHERE, cliRun } from "../support/cli-run.ts";

const COMMANDS = [
  "",
  "pending",
  "show",
  "approve",
  "deny",
  "ask",
  "take-back",
  "request",
  "requests",
  "resolve",
  "policy",
  "policy check",
  "policy test",
  "policy explain",
  "policy adopt",
  "upstream",
  "upstream list",
  "upstream diff",
  "upstream accept",
  "log",
  "log list",
  "log show",
  "log tail",
  "log verify",
  "log receipt",
  "log explain",
  "log witness",
  "log rotate-key",
  "log replay",
  "log erase",
  "verify",
  "init",
  "install",
  "uninstall",
  "start",
  "mcp",
  "doctor",
  "people",
  "people list",
  "people invite",
  "people remove-credential",
  "token",
  "token new",
  "token list",
  "demo",
];

test.each(COMMANDS)("countersign %s --help says what it does and shows an example", async (command) => {
  const words = command === "" ? [] : command.split(" ");
  const { exitCode, stdout, stderr } = await cliRun([...words, "--help"], { around: ANYWHERE });
  expect(exitCode).toBe(0);
  expect(stderr).toBe("");
  expect(stdout).toMatch(/\nExample/);
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  await expect(stdout).toMatchFileSnapshot(`golden/help/${words.join("-") || "countersign"}.txt`);
});

test("every command has its golden help", async () => {
  const known = new Set(COMMANDS);
  for (const command of COMMANDS) {
    const { stdout } = await cliRun([...command.split(" ").filter(Boolean), "--help"], { around: ANYWHERE });
    const listed = [...stdout.matchAll(/^ {2}([a-z][a-z-]+)(?: .*)?$/gm)].map((match) => match[1] ?? "");
    if (!stdout.includes("<command>")) continue;
    for (const name of listed) expect(known).toContain([command, name].filter(Boolean).join(" "));
  }
});

test("the version is an answer, not a failure", async () => {
  expect(await cliRun(["--version"], { around: ANYWHERE })).toEqual({
    exitCode: 0,
    stdout: "0.0.0-test\n",
    stderr: "",
  });
});

test.each<[string, readonly string[], RegExp, RegExp]>([
  [
    "an unknown command",
    ["pendng"],
    /^error: unknown command "pendng" \(USAGE\)$/m,
    /^hint: did you mean pending\?/m,
  ],
  [
    "an unknown word below a command",
    ["policy", "chek"],
    /unknown command "chek"/,
    /did you mean check\? see: countersign policy --help/,
  ],
  [
    "an unknown flag",
    ["pending", "--jsno"],
    /unknown option "--jsno"/,
    /did you mean --json\? see: countersign pending --help/,
  ],
  ["a missing argument", ["show"], /missing required argument "request"/, /see: countersign show --help/],
  ["a word too many", ["pending", "now"], /too many arguments/, /see: countersign pending --help/],
  [
    "a limit that is no number",
    ["requests", "-n", "many"],
    /expected a number from 1 to 999999/,
    /see: countersign requests --help/,
  ],
  [
    "a flag without its value",
    ["approve", "X", "--key"],
    /argument missing/,
    /see: countersign approve --help/,
  ],
])("%s is one error line and a hint, and exits 2", async (_what, argv, error, hint) => {
  const run = await cliRun(argv, { around: ANYWHERE });
  expect(run.exitCode).toBe(2);
  expect(run.stdout).toBe("");
  expect(run.stderr).toMatch(error);
  expect(run.stderr).toMatch(hint);
  expect(run.stderr.match(/^error:/gm)).toHaveLength(1);
});

test("a word that would act on the terminal is shown in the error, not obeyed (P3)", async () => {
  const { stderr } = await cliRun(["\u001b[2J\u202epending"], { around: ANYWHERE });
  expect(stderr).toContain("⟦U+001B⟧[2J⟦U+202E⟧pending");
  expect(stderr).not.toContain("\u001b");
});

test("called without a command it prints its help on standard error, and exits 2", async () => {
  const { exitCode, stdout, stderr } = await cliRun([], { around: ANYWHERE });
  expect(exitCode).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toContain("Usage: countersign");
});
