import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { makeGitSource, type GitSource } from "../support/git-source.ts";
import { legacyInitialize, legacyRequest } from "../support/rpc.ts";
import { missingSshKeygen } from "../support/ssh-keys.ts";

// The whole way with nothing but the program: a home, an agent that asks, a person who approves with a real key, the
// change, the receipt. And what a person does who finds the log rewritten.

const missing = missingSshKeygen();
/** Under dist/, so that packages which stay outside the bundle are found. */
const bundled = resolve("dist", `cli-story-${process.pid}`);
const program = join(bundled, "countersign.js");

describe.skipIf(missing !== null)(`from init to receipt ${missing ?? ""}`, () => {
  let dir: string;
  let home: string;
  let source: GitSource;
  let gateway: ChildProcessWithoutNullStreams;
  let said = "";

  const env = (person: string): Record<string, string> => ({
    PATH: process.env["PATH"] ?? "",
    HOME: join(dir, person),
    COUNTERSIGN_HOME: home,
    XDG_STATE_HOME: join(dir, person, "state"),
  });
  const run = (person: string, ...argv: readonly string[]): { code: number; out: string; err: string } => {
    try {
      const out = execFileSync(process.execPath, [program, ...argv], {
        env: env(person),
        encoding: "utf8",
        stdio: "pipe",
      });
      return { code: 0, out, err: "" };
    } catch (error) {
      const failed = error as { status: number; stdout: string; stderr: string };
      return { code: failed.status, out: failed.stdout, err: failed.stderr };
    }
  };
  const ask = (id: number, ref: string): void =>
    void gateway.stdin.write(
      `${JSON.stringify(legacyRequest(id, "tools/call", { name: "deploy_service", arguments: { service: "web", ref, justification: "the greeting should be friendlier" } }))}\n`,
    );
  const heldCode = (): Promise<string> =>
    eventually(async () => (JSON.parse(run("ben", "pending", "--json").out) as { code: string }[])[0]?.code);

  beforeAll(async () => {
    await build({
      entryPoints: ["src/countersign.ts"],
      outfile: program,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      external: ["fs-native-extensions", "pino"],
      banner: {
        js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);",
      },
      logLevel: "warning",
    });
    dir = realpathSync(mkdtempSync(join(tmpdir(), "countersign-story-")));
    home = join(dir, "home");
    for (const person of ["ana", "ben"]) {
      mkdirSync(join(dir, person, ".ssh"), { recursive: true, mode: 0o700 });
      execFileSync("ssh-keygen", [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        person,
        "-f",
        join(dir, person, ".ssh", "id_ed25519"),
      ]);
    }
    source = makeGitSource(dir);
    source.commit({ "index.html": "<h1>Hello</h1>\n" });
    mkdirSync(join(dir, "releases"), { mode: 0o755 });
    const made = run(
      "ana",
      "init",
      "--yes",
      ...["--person", "ana", "--key", join(dir, "ana/.ssh/id_ed25519"), "--agent", "claude-code"],
      ...["--team", "--approver", `ben=${join(dir, "ben/.ssh/id_ed25519.pub")}`],
      ...[
        "--service",
        "web",
        "--repository",
        source.dir,
        "--environment",
        "prod",
        "--releases",
        join(dir, "releases"),
      ],
    );
    if (made.code !== 0) throw new Error(made.err);
    gateway = spawn(process.execPath, [program, "mcp", "--hold", "1s"], { env: env("ana") });
    gateway.stdout.on("data", (chunk) => (said += String(chunk)));
    gateway.stderr.resume();
    gateway.stdin.write(`${JSON.stringify(legacyInitialize(1))}\n`);
    await eventually(async () => (said.includes('"id":1') ? true : undefined));
  });
  afterAll(() => {
    gateway.kill("SIGKILL");
    for (const made of [dir, bundled]) rmSync(made, { recursive: true, force: true });
  });

  test("a held deploy is seen whole, approved by the other person, done, and proved by a receipt", async () => {
    ask(2, "main");
    const code = await heldCode();
    const shown = run("ben", "show", code);
    expect(shown.out).toContain("ben: you would be approval 1 of 1 from approvers");
    expect(shown.out).toContain("+<h1>Hello</h1>");
    expect(shown.out).toContain("the greeting should be friendlier");

    const own = run("ana", "approve", code, "--yes", "--code", code);
    expect(own.code).toBe(1);
    expect(own.err).toContain("self_approval");

    const approved = run("ben", "approve", code, "--yes", "--code", code, "--reason", "looks right");
    expect(approved).toMatchObject({ code: 0 });
    expect(approved.out).toContain(`granted ${code}`);
    await eventually(async () => (run("ben", "show", code).out.includes("done") ? true : undefined));
    expect(
      readFileSync(
        join(dir, "releases", readlinkSync(join(dir, "releases", "current")), "index.html"),
        "utf8",
      ),
    ).toBe("<h1>Hello</h1>\n");

    const receipt = join(dir, "receipt");
    expect(run("ben", "log", "receipt", code, "-o", receipt).code).toBe(0);
    const verified = run("ana", "verify", receipt);
    expect(verified.code).toBe(0);
    expect(verified.out).toContain("proves what it says");
    const forged = join(dir, "forged");
    writeFileSync(forged, readFileSync(receipt, "utf8").replace("looks right", "looks wrong"));
    expect(run("ana", "verify", forged).code).toBe(1);
    expect(run("ana", "log", "verify").code).toBe(0);
  });

  test("a statement signed on another machine counts like one signed here; a deny's words reach the agent", async () => {
    ask(3, source.commit({ "index.html": "<h1>Hello, world</h1>\n" }));
    const code = await heldCode();
    const file = join(dir, "statement.txt");
    expect(run("ben", "approve", code, "--print-statement", file).code).toBe(0);
    execFileSync(
      "ssh-keygen",
      ["-q", "-Y", "sign", "-n", "decision@countersign.dev", "-f", join(dir, "ben/.ssh/id_ed25519"), file],
      { stdio: "ignore" },
    );
    expect(run("ben", "approve", code, "--signature", `${file}.sig`).out).toContain("granted");
    await eventually(async () => (run("ben", "show", code).out.includes("done") ? true : undefined));

    ask(4, source.commit({ "index.html": "<h1>Goodbye</h1>\n" }));
    const denied = await heldCode();
    expect(run("ben", "deny", denied, "--reason", "not during the freeze").out).toContain(`denied ${denied}`);
    expect(run("ben", "requests").out).toContain("denied");
    ask(5, source.git("rev-parse", "HEAD").trim());
    await eventually(async () => (said.includes("not during the freeze") ? true : undefined));
  });

  test("a policy change is shown with what it weakens, signed by both, and runs then", () => {
    const file = join(home, "policy.yaml");
    writeFileSync(
      file,
      readFileSync(file, "utf8").replace(
        "policy_change: { by: [approvers], quorum: 2",
        "policy_change: { by: [approvers], quorum: 1",
      ),
    );
    const alone = run("ben", "policy", "adopt");
    expect(alone.out).toContain("!");
    expect(alone.err).toContain("needs a terminal, or --yes with --revision");
    const revision = /proposed +(sha256:[0-9a-f]{64})/.exec(alone.out)?.[1] ?? "";
    const saved = join(dir, "ben.json");
    expect(run("ben", "policy", "adopt", "--yes", "--revision", revision, "--save", saved).code).toBe(0);
    expect(run("ana", "policy", "adopt", "--yes", "--revision", revision).err).toContain(
      "(ADOPTION_REFUSED)",
    );
    const adopted = run("ana", "policy", "adopt", "--yes", "--revision", revision, "--with", saved);
    expect(adopted.out).toContain(`adopted ${revision}`);
    expect(run("ana", "policy", "adopt").out).toContain("nothing to adopt");
  });
});
