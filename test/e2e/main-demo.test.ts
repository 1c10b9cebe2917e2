import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { inPty, missingPty } from "../support/pty.ts";
import { PROGRAM } from "../support/real-gateway.ts";

// `npm run demo -- --auto`: what a stranger runs first.

const missing = missingPty();
if (missing !== null && process.env["COUNTERSIGN_TARGETS"] === "required") throw new Error(missing);
const dir = mkdtempSync(join(tmpdir(), "countersign-demo-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const run = promisify(execFile);
const env = { PATH: process.env["PATH"] ?? "", HOME: dir, TMPDIR: dir, NO_COLOR: "1" };

test("the demo ends with the new release live, a log that verifies and a receipt, within a minute", async () => {
  const started = Date.now();
  const { stdout } = await run(process.execPath, [PROGRAM, "demo", "--auto"], { env, cwd: dir });
  expect(Date.now() - started).toBeLessThan(60_000);
  expect(stdout).toMatch(/log verify: ok, \d+ entries/);
  expect(stdout).toContain("receipt: ok");

  const home = /(\S*countersign-demo-\S+)/.exec(stdout)?.[1] ?? "";
  const current = readlinkSync(join(home, "workspace", "releases", "current"));
  const commit = /A developer commits a change \((\w+)\)/.exec(stdout)?.[1] ?? "none";
  expect(current).toContain(commit);
  expect(readFileSync(join(home, "workspace", "releases", current, "index.html"), "utf8")).toContain(
    "Winter sale",
  );

  // The commands it prints at the end do what they say.
  const commands = [...stdout.matchAll(/^ {5}(\S+ \S+countersign\.js .+)$/gm)].map(
    ([, line]) => line as string,
  );
  expect(commands).toHaveLength(3);
  for (const line of commands) {
    const [command = "", ...args] = line.split(" ");
    const said = await run(command, args, { env, cwd: dir });
    expect(said.stdout).not.toBe("");
  }
  const verified = await run(process.execPath, [PROGRAM, "--home", home, "log", "verify"], { env, cwd: dir });
  expect(verified.stdout).toContain("the log is what was signed");
});

test.skipIf(missing !== null)(
  `at a terminal the person is asked, and a no changes nothing ${missing ?? ""}`,
  async () => {
    const said = await inPty(
      [process.execPath, PROGRAM, "demo"],
      [{ waitFor: /Approve this, as the demo approver\? \[y\/N\]/, type: "n" }],
      { env, cwd: dir, timeoutMs: 60_000 },
    );
    const home = /(\/\S*countersign-demo-\w+)/.exec(said.screen)?.[1] ?? "";
    expect(said.exitCode).toBe(1);
    expect(said.screen).toContain("denied in the demo");
    const current = readlinkSync(join(home, "workspace", "releases", "current"));
    expect(readFileSync(join(home, "workspace", "releases", current, "index.html"), "utf8")).not.toContain(
      "Winter",
    );
  },
);

test("without git the demo says what is missing", async () => {
  const failed = await run(process.execPath, [PROGRAM, "demo", "--auto"], {
    env: { ...env, PATH: dir },
    cwd: dir,
  }).catch((error: unknown) => error as { code: number; stderr: string });
  expect(failed).toMatchObject({ code: 2, stderr: expect.stringContaining("the demo needs git") });
});
