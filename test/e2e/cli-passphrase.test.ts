import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { displayWidth } from "../../src/base/terminal.ts";
import type { Proof } from "../../src/consent/entries.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import { inPty, missingPty, type PtyRun } from "../support/pty.ts";
import { sshProof } from "../support/ssh-proof.ts";
import { createKeyDir, missingSshKeygen, opensshVerifies, type KeyDir } from "../support/ssh-keys.ts";

// Can anything but the person at the terminal make a solo approval (C6)? A real terminal, the real ssh-keygen, and
// everything in the environment that an agent of the same account could leave there.

const missing = missingSshKeygen() ?? missingPty();
const PASSPHRASE = "correct horse battery";
const program = ["node", "--import", "tsx", resolve("test/support/cli-process.ts")];

describe.skipIf(missing !== null)(`alone at a real terminal ${missing ?? ""}`, () => {
  let keys: KeyDir;
  let root: string;
  let env: Record<string, string>;
  const spawned: ChildProcess[] = [];

  beforeAll(() => {
    keys = createKeyDir();
    mkdirSync(join(keys.dir, ".ssh"));
    keys.make(".ssh/id_locked", "ed25519", PASSPHRASE);
    keys.make(".ssh/id_open");
  });
  afterAll(() => {
    for (const child of spawned) child.kill();
    keys.remove();
  });
  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), "countersign-pty-")));
    mkdirSync(join(root, "data"));
    env = {
      PATH: process.env["PATH"] ?? "",
      HOME: keys.dir,
      XDG_STATE_HOME: join(root, "state"),
      COUNTERSIGN_HOME: root,
      RESULT: join(root, "result.json"),
      ANA: ".ssh/id_locked".replace(".ssh/", ""),
      NO_COLOR: "1",
    };
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const result = (): { accepted: { statement: Statement; proof: Proof }[]; adopted: string[] } =>
    JSON.parse(readFileSync(join(root, "result.json"), "utf8")) as never;
  /** The code of the one request that waits; typed by the person, who reads it from the screen. */
  const codeNow = async (): Promise<string> => {
    const listed = execFileSync(program[0] ?? "", [...program.slice(1), "pending", "--json"], {
      env,
      cwd: resolve("."),
      encoding: "utf8",
    });
    return (JSON.parse(listed) as { code: string }[])[0]?.code ?? "";
  };
  const approve = async (passphrase: string): Promise<PtyRun> => {
    const code = await codeNow();
    return inPty(
      [...program, "approve", code],
      [
        { waitFor: /type the code of what you approve/, type: code },
        { waitFor: /Enter passphrase/, type: passphrase },
      ],
      { env, cwd: resolve(".") },
    );
  };

  test("the passphrase is asked on the terminal, and then the approval is theirs, and says solo", async () => {
    const { exitCode, screen } = await approve(PASSPHRASE);
    expect(exitCode).toBe(0);
    expect(screen).not.toContain(PASSPHRASE);
    expect(screen).toContain("(solo)");
    const [accepted] = result().accepted;
    expect(accepted?.statement).toMatchObject({ decision: "approve", approver: "ana", solo: true });
    const bytes = statementBytes(accepted?.statement as Statement);
    expect(
      opensshVerifies(keys, ".ssh/id_locked", SSHSIG_NAMESPACE, bytes, sshProof(accepted?.proof).signature),
    ).toBe(true);
  });

  test("a wrong passphrase makes nothing", async () => {
    const { exitCode, screen } = await approve("wrong");
    expect(exitCode).toBe(1);
    expect(screen).toContain("(SIGNING_FAILED)");
    expect(result().accepted).toEqual([]);
  });

  test("an agent that holds the unlocked key changes nothing: the passphrase is still asked", async () => {
    const socket = join(root, "agent.sock");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: ["ignore", "pipe", "ignore"] });
    spawned.push(agent);
    await new Promise((done) => agent.stdout.once("data", done));
    env = { ...env, SSH_AUTH_SOCK: socket };
    // Unlocked in a copy, as a person does who adds the key in the morning.
    const copy = join(root, "unlocked");
    writeFileSync(copy, readFileSync(join(keys.dir, ".ssh/id_locked")), { mode: 0o600 });
    execFileSync("ssh-keygen", ["-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", copy], { stdio: "ignore" });
    execFileSync("ssh-add", ["-q", copy], { env, stdio: "ignore" });
    const { exitCode } = await approve("wrong");
    expect(exitCode).toBe(1);
    expect(result().accepted).toEqual([]);
  });

  test("a program that would answer for the person is never asked, however it is forced", async () => {
    const asked = join(root, "asked");
    const askpass = join(root, "askpass");
    writeFileSync(askpass, `#!/bin/sh\ntouch '${asked}'\necho '${PASSPHRASE}'\n`);
    chmodSync(askpass, 0o755);
    env = { ...env, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: "force", DISPLAY: ":0" };
    const { exitCode } = await approve("wrong");
    expect(exitCode).toBe(1);
    expect(existsSync(asked)).toBe(false);
    expect(result().accepted).toEqual([]);
  });

  test("a key that opens without a passphrase is refused before it signs", async () => {
    env = { ...env, ANA: "id_open" };
    const code = await codeNow();
    const run = await inPty([...program, "approve", code], [{ waitFor: /type the code/, type: code }], {
      env,
      cwd: resolve("."),
    });
    expect(run.exitCode).toBe(1);
    expect(run.screen).toContain("opens without a passphrase");
    expect(result().accepted).toEqual([]);
  });

  test("adopting a policy asks for the passphrase as well", async () => {
    const run = await inPty(
      [...program, "policy", "adopt"],
      [
        { waitFor: /adopt exactly this\?/, type: "y" },
        { waitFor: /Enter passphrase/, type: PASSPHRASE },
      ],
      { env, cwd: resolve(".") },
    );
    expect(run.exitCode).toBe(0);
    expect(result().adopted).toHaveLength(1);
  });

  test("the whole card fits into 80 columns of a real terminal", async () => {
    const run = await inPty([...program, "show", await codeNow()], [], { env, cwd: resolve(".") });
    expect(run.screen).toContain("DESTROY 1 database");
    const tooLong = run.screen
      .replaceAll("\r", "")
      .split("\n")
      .filter((line) => displayWidth(line) > 80);
    expect(tooLong).toEqual([]);
  });

  test("init asks, makes the key with a passphrase, the files and the tokens, and none is readable by others", async () => {
    const place = join(root, "new-home");
    const fresh = join(root, "person");
    mkdirSync(join(fresh, ".ssh"), { recursive: true, mode: 0o700 });
    const run = await inPty(
      [...program, "init", "--home", place],
      [
        { waitFor: /your id in the policy.*: /, type: "ana" },
        { waitFor: /your name, as others see it.*: /, type: "Ana Ruiz" },
        { waitFor: /choose 1 to 1: /, type: "1" },
        { waitFor: /Enter passphrase/, type: PASSPHRASE },
        { waitFor: /Enter same passphrase again/, type: PASSPHRASE },
        { waitFor: /the agent's id.*: /, type: "" },
        { waitFor: /are you alone with this agent/, type: "y" },
        { waitFor: /register a service/, type: "n" },
      ],
      { env: { ...env, HOME: fresh, ANA: "" }, cwd: resolve(".") },
    );
    expect(run.exitCode).toBe(0);
    expect(run.screen).not.toContain(PASSPHRASE);
    expect(run.screen).not.toMatch(/cs[ma]_[A-Za-z0-9_-]{20}/);
    for (const file of ["countersign.yaml", "policy.yaml", "data/keys/mcp.token", "data/keys/api.token"]) {
      expect(statSync(join(place, file)).mode & 0o777).toBe(0o600);
    }
    expect(statSync(place).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(place, "policy.yaml"), "utf8")).toContain("solo: ana");
    expect(() =>
      execFileSync("ssh-keygen", ["-y", "-P", "", "-f", join(fresh, ".ssh/countersign_ed25519")], {
        stdio: "ignore",
      }),
    ).toThrow();
  });
});
