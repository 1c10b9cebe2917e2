import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

test("token new --mcp makes one of the agents' listener, for somebody and for some effects only", async () => {
  const { exitCode, stdout, stderr } = await make(
    ...["--mcp", "--name", "laptop", "--principal", "ana", "--agent", "claude"],
    ...["--effect", "write,read", "--expires", "2027-01-31"],
  );
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^csm_[\w-]{43}\n$/);
  expect(stderr).not.toContain(stdout.trim());
  const lines = stderr.slice(stderr.indexOf("clients:"));
  const parsed = parseConfig(`version: 1\n${lines}`, "countersign.yaml", z.unknown());
  expect(parsed.ok && parsed.value.config.clients).toEqual([
    {
      name: "laptop",
      token_sha256: tokenSha256(stdout.trim()),
      effects: ["read", "write"],
      principal: "ana",
      agent: "claude",
      expires: Date.UTC(2027, 0, 31),
    },
  ]);
});

test("token list shows what the file admits, and never a token", async () => {
  const home = await mkdtemp(join(tmpdir(), "countersign-tokens-"));
  const digest = (char: string): string => char.repeat(64);
  await writeFile(
    join(home, "countersign.yaml"),
    `version: 1
clients:
  - { name: laptop, token_sha256: ${digest("a")}, principal: ana, agent: claude, effects: [read], expires: "2020-01-31" }
  - { name: old, token_sha256: ${digest("b")}, principal: ana, agent: claude }
api: { tokens: [{ name: wall, token_sha256: ${digest("c")}, scopes: [log:read] }] }
`,
  );
  const list = (...words: string[]) =>
    cliRun(["--home", home, "token", "list", ...words], { around: ANYWHERE });
  const { exitCode, stdout } = await list();
  expect([exitCode, stdout.split("\n").map((line) => line.replaceAll(/ +/g, " "))]).toEqual([
    0,
    [
      expect.stringMatching(/^laptop mcp aaaaaaaa claude for ana, read, over since /) as string,
      "old mcp bbbbbbbb claude for ana, every effect, no end",
      "wall api cccccccc log:read, no end",
      "",
    ],
  ]);
  const { tokens } = JSON.parse((await list("--json")).stdout) as { tokens: object[] };
  expect(tokens).toMatchObject([{ name: "laptop", goodFor: ["read"] }, { goodFor: null }, { opens: "api" }]);
  await rm(home, { recursive: true });
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
  ["a token of the agents' listener for nobody (C1)", ["--mcp", "--name", "a"], /somebody's/],
  [
    "a token of both listeners (P1)",
    ["--mcp", "--name", "a", "--principal", "x", "--agent", "y", "--scope", "log:read"],
    /--effect of --mcp/,
  ],
  [
    "an unknown effect",
    ["--mcp", "--name", "a", "--principal", "x", "--agent", "y", "--effect", "admin"],
    /there is no effect "admin"/,
  ],
])("%s makes no token", async (_what, words, message) => {
  const { exitCode, stdout, stderr } = await make(...words);
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(message);
});
