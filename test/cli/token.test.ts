import { expect, test } from "vitest";
import { z } from "zod";
import { tokenSha256 } from "../../src/base/token.ts";
import { parseConfig } from "../../src/config/config-file.ts";
import { ANYWHERE, cliRun, type CliRun } from "../support/cli-run.ts";

const make = (...words: string[]): Promise<CliRun> =>
  cliRun(["token", "new", ...words], { around: ANYWHERE });

test("token new prints the token alone on standard output, and lines that countersign.yaml takes", async () => {
  const acts = ["--principal", "ci", "--agent", "jenkins", "--expires", "2027-01-31"];
  const { exitCode, stdout, stderr } = await make(
    ...["--name", "jenkins", "--scope", "statements:write", "requests:write"],
    ...acts,
  );
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^csa_[\w-]{43}\n$/);
  expect(stderr).not.toContain(stdout.trim());
  const lines = stderr.slice(stderr.indexOf("api:"));
  const parsed = parseConfig(`version: 1\n${lines}`, "countersign.yaml", z.unknown());
  expect(parsed.ok && parsed.value.config.api?.tokens).toEqual([
    {
      name: "jenkins",
      token_sha256: tokenSha256(stdout.trim()),
      scopes: ["requests:write", "statements:write"],
      principal: "ci",
      agent: "jenkins",
      expires: Date.UTC(2027, 0, 31),
    },
  ]);
});

test("two tokens are never the same, and --json is for programs", async () => {
  const [a, b] = [
    await make("--name", "a", "--scope", "log:read", "--json"),
    await make("--name", "a", "--scope", "log:read", "--json"),
  ];
  const [one, two] = [JSON.parse(a.stdout), JSON.parse(b.stdout)] as { token: string }[];
  expect(one?.token).not.toBe(two?.token);
  expect(one).toMatchObject({ entry: { name: "a", scopes: ["log:read"] } });
});

test.each<[string, readonly string[], RegExp]>([
  ["an unknown scope", ["--name", "a", "--scope", "admin"], /there is no scope "admin"/],
  ["a token that asks for nobody (C1)", ["--name", "a", "--scope", "requests:write"], /somebody's/],
  [
    "a token that asks and reads previews too (P4)",
    ["--name", "a", "--scope", "requests:write,log:read", "--principal", "ci", "--agent", "b"],
    /can't have log:read/,
  ],
  ["a principal without an agent", ["--name", "a", "--scope", "log:read", "--principal", "x"], /both/],
  ["a name with a space", ["--name", "a b", "--scope", "log:read"], /--name/],
  ["a day that does not exist", ["--name", "a", "--scope", "log:read", "--expires", "soon"], /--expires/],
  ["no scope at all", ["--name", "a"], /--scope/],
])("%s makes no token", async (_what, words, message) => {
  const { exitCode, stdout, stderr } = await make(...words);
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(message);
});
