import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { cosignedAt } from "../../src/log/cosignature.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import { parseTlogProof } from "../../src/log/proof.ts";
import { logKeyFromSeed } from "../../src/store/embedded/keys.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, PROGRAM, type RealHome } from "../support/real-gateway.ts";

// A person keeps copies of checkpoints outside. What does somebody who owns the home, its files and its key get away with?

const missing = missingForMain();
const kind = CLIENT_KINDS.find((one) => one.name === "v2 SDK, 2026-07-28, over stdio");

describe.skipIf(missing !== null)(missing ?? "a witness outside of the home", { timeout: 120_000 }, () => {
  let home: RealHome;
  let place: string;
  const at = (): string[] => ["--home", home.home];
  const run = (...args: string[]) => home.run([...at(), ...args]);
  const look = (...args: string[]) => run("log", "witness", place, "--once", ...args);
  const data = (name: string): string => join(home.home, "data", name);
  const logId = (): string => readdirSync(place).find((name) => name.startsWith("log_")) as string;
  let refs = 0;

  /** One more released change: some entries more. */
  const deploy = async (service = "lab"): Promise<string> => {
    refs += 1;
    home.source.commit({ "index.html": `<p>${refs}</p>\n` }, `change ${refs}`);
    home.source.git("branch", `change/${refs}`);
    const client = await (kind as NonNullable<typeof kind>).connect(home.stdio("1s"));
    const { data: said } = await client.call(
      "deploy_service",
      { service, ref: `change/${refs}` },
      { timeoutMs: 30_000 },
    );
    await client.close();
    return String(said["ticket"] ?? said["requestId"]);
  };
  beforeEach(async () => {
    home = await openRealHome();
    place = join(home.root, "outside");
    mkdirSync(place);
  });
  afterEach(() => home.close());

  test("keeps what it checked, cosigned, and the home knows how old the copy is", async () => {
    const first = await look();
    expect(first.err).toMatch(/made the witness's key/);
    expect(first.out).toMatch(/^2 entries, root sha256:[0-9a-f]{64}: kept\n/);
    expect(first.code).toBe(0);
    const key = join(home.root, "user/.local/state/countersign/witness/key");
    expect(statSync(key).mode & 0o777).toBe(0o600);
    await deploy();
    const second = await look("--json");
    const said = JSON.parse(second.out) as { size: number; witness: string; new: boolean };
    expect(said).toMatchObject({ ok: true, new: true, first: false });
    expect(said.size).toBeGreaterThan(2);

    const dir = join(place, logId());
    const note = readFileSync(join(dir, "checkpoint"), "utf8");
    const witness = parseVerifierKey(said.witness);
    if (!witness.ok) throw new Error(witness.error);
    const time = cosignedAt(note, witness.value);
    expect(time.ok && Math.abs(time.value - Date.now() / 1_000)).toBeLessThan(60);
    const proof = parseTlogProof(readFileSync(join(dir, "newest.tlog-proof"), "utf8"));
    expect(proof).toMatchObject({ ok: true, value: { index: said.size - 1, checkpoint: note } });
    expect(readFileSync(data(`witnessed/${witness.value.id}.checkpoint`), "utf8")).toBe(note);
    const verified = await home.verify("--against", place);
    expect(verified.out).toContain("compared with 2 kept elsewhere");
    expect(verified.code).toBe(0);
    for (const file of [join(dir, "checkpoint"), join(dir, "newest.tlog-proof")]) {
      expect((await home.verify("--against", file)).code).toBe(0);
    }
    expect((await look()).out).toMatch(/nothing new/);
  });

  /** What the approver's own command line says to a request that waits. */
  const approve = async (): Promise<{ code: number | null; err: string }> => {
    const request = await deploy("web");
    return home.approve(request, "ben");
  };

  /** All of it refuses: the witness, the approver's command line, and whoever compares with the place. */
  async function expectCaught(): Promise<void> {
    const looked = await look();
    expect(looked.err).toContain("THE LOG IS NOT THE ONE THAT WAS WITNESSED");
    expect(looked.err).toContain("(LOG_ROLLED_BACK)");
    expect(looked.code).toBe(1);
    const verified = await home.verify("--against", place);
    expect(verified.out).toContain("the log is not what was signed");
    expect(verified.code).toBe(1);
    const approved = await approve();
    expect(approved.err).toContain("(LOG_ROLLED_BACK)");
    expect(approved.code).toBe(1);
  }

  test("a home rewritten whole, with its own key and the log's own id, is caught (item 3)", async () => {
    expect((await approve()).code).toBe(0);
    expect((await look()).code).toBe(0);
    const before = readFileSync(join(place, logId(), "checkpoint"), "utf8");
    rewriteWhole(home.home);
    // By itself it is perfect.
    expect((await run("pending")).code).toBe(0);
    expect((await home.verify()).code).toBe(0);
    await expectCaught();
    expect(readFileSync(join(place, logId(), "checkpoint"), "utf8")).toBe(before);
    expect(readdirSync(join(place, logId(), "refused"))).toHaveLength(1);
    // Growing beyond what was witnessed does not help.
    for (let i = 0; i < 2; i += 1) await deploy();
    await expectCaught();
  });

  test("a home made anew in the same place, with another log's id, is caught too", async () => {
    expect((await approve()).code).toBe(0);
    expect((await look()).code).toBe(0);
    const tokens = ["mcp.token", "api.token"].map((name) => readFileSync(data(`keys/${name}`)));
    rmSync(data(""), { recursive: true });
    mkdirSync(data("keys"), { recursive: true, mode: 0o700 });
    for (const [i, name] of ["mcp.token", "api.token"].entries())
      writeFileSync(data(`keys/${name}`), tokens[i] as Buffer, { mode: 0o600 });
    expect((await run("init")).code).toBe(0);
    await expectCaught();
    // Even where the place is told to take it: this account has seen the home with another log.
    const added = await look("--add");
    expect(added.err).toContain("this home held log_");
    expect(added.code).toBe(1);
  });

  test("a log that was rolled back does not open, whichever of its marks were rolled back with it", async () => {
    await look();
    const older = join(home.root, "older");
    cpSync(data("log"), older, { recursive: true });
    await deploy();
    await look();
    const restore = (): void => {
      rmSync(data("log"), { recursive: true });
      cpSync(older, data("log"), { recursive: true });
    };
    const newest = join(data("log"), "000001.jsonl");
    const whole = readFileSync(newest);
    // The segment alone: the checkpoint beside it knows better.
    writeFileSync(newest, readFileSync(join(older, "000001.jsonl")));
    const refused = await run("pending");
    expect(refused.err).toMatch(/the log has 2 entries; \d+ were signed \(LOG_ROLLED_BACK\)/);
    writeFileSync(newest, whole);
    expect((await run("pending")).code).toBe(0);
    // The whole log directory: the snapshot knows better.
    restore();
    expect((await run("pending")).err).toMatch(/state\.json was written with \d+ \(LOG_ROLLED_BACK\)/);
    // And without it, what the witness noted.
    rmSync(data("state.json"));
    expect((await run("pending")).err).toMatch(/a witness saw \d+ .*\(LOG_ROLLED_BACK\)/);
    // A gateway does not start on it either.
    const started = await home.run([...at(), "start"], { timeoutMs: 20_000 });
    expect(started.err).toContain("(LOG_ROLLED_BACK)");
    expect(started.code).toBe(1);
  });

  test("an older copy of the whole home opens, and only those outside can tell", async () => {
    expect((await approve()).code).toBe(0);
    await look();
    const older = join(home.root, "older");
    cpSync(home.home, older, { recursive: true });
    await deploy();
    expect((await approve()).code).toBe(0);
    await look();
    rmSync(home.home, { recursive: true });
    renameSync(older, home.home);
    expect((await run("pending")).code).toBe(0);
    await expectCaught();
  });

  test("a place emptied by somebody is still remembered by the account that watches", async () => {
    await deploy();
    await look();
    rmSync(join(place, logId()), { recursive: true });
    rewriteWhole(home.home);
    expect((await look()).err).toContain("(LOG_ROLLED_BACK)");
  });

  test("a git repository gets a commit for each look that saw more, and nothing else is touched", async () => {
    const git = (...args: string[]): string =>
      execFileSync("git", ["-C", place, ...args], { env: { ...home.env }, encoding: "utf8" });
    git("init", "-q");
    writeFileSync(join(place, "mine.txt"), "not yet committed");
    expect((await look()).code).toBe(0);
    expect((await look()).code).toBe(0);
    await deploy();
    expect((await look()).code).toBe(0);
    expect(git("log", "--format=%s").trim().split("\n")).toEqual([
      expect.stringMatching(/^countersign: \d+ entries of log_/),
      expect.stringMatching(/^countersign: 2 entries of log_/),
    ]);
    expect(git("status", "--porcelain").trim()).toBe("?? mine.txt");
    const unpushed = await look("--push");
    expect(unpushed.code).toBe(0);
    await deploy();
    const nowhere = await look("--push");
    expect(nowhere.err).toMatch(/git push failed/);
    expect(nowhere.code).toBe(2);
  });

  test("another home may keep it; the watched one may not, nor a place that does not exist", async () => {
    const other = join(home.root, "second-home");
    mkdirSync(other);
    writeFileSync(join(other, "countersign.yaml"), "version: 1\n");
    expect((await run("log", "witness", other, "--once")).code).toBe(0);
    expect(existsSync(join(other, "witness"))).toBe(true);
    expect((await home.verify("--against", other)).code).toBe(0);
    mkdirSync(join(home.home, "copy"));
    for (const [path, why] of [
      [join(home.home, "copy"), "lies in the home"],
      [join(home.root, "missing"), "is not a directory"],
    ] as const) {
      const refused = await run("log", "witness", path, "--once");
      expect(refused.err).toContain(why);
      expect(refused.code).toBe(2);
    }
  });

  test("a damaged memory, another witness's place and a key that others can read fail closed", async () => {
    await look();
    const dir = join(place, logId());
    const note = readFileSync(join(dir, "checkpoint"), "utf8");
    writeFileSync(join(dir, "checkpoint"), note.replace(/^2$/m, "1"));
    expect((await look()).err).toContain("is damaged");
    writeFileSync(join(dir, "checkpoint"), note);
    expect((await look("--witness-key", join(home.root, "another-key"))).err).toContain(
      "is kept by another witness",
    );
    const key = join(home.root, "user/.local/state/countersign/witness/key");
    execFileSync("chmod", ["644", key]);
    expect((await look()).err).toContain("(HOME_INSECURE)");
    execFileSync("chmod", ["600", key]);
    expect((await look("--key", "countersign.dev/log/x+00000000+AAAA")).err).toContain(
      "has never had the key",
    );
    expect((await look()).code).toBe(0);
  });

  test("it follows until interrupted, and takes up a new key of a gateway that runs on", async () => {
    const gateway = await home.start();
    const follower = spawn(process.execPath, [PROGRAM, ...at(), "log", "witness", place, "--every", "1s"], {
      env: { ...home.env },
    });
    let said = "";
    follower.stdout.on("data", (chunk) => (said += String(chunk)));
    const ended = new Promise<number | null>((resolve) => follower.once("exit", resolve));
    await expect.poll(() => said, { timeout: 20_000 }).toContain("first look");
    const rotated = await run("log", "rotate-key", "--yes", "--json");
    const { from, to } = JSON.parse(rotated.out) as { from: string; to: string };
    await deploy();
    await expect.poll(() => said, { timeout: 20_000 }).toContain(`the log's key is now ${to}`);
    // The gateway that was running all the while signs with the new key.
    const answer = await home.api(gateway, "/log/checkpoint");
    const { checkpoint } = (await answer.json()) as { checkpoint: string };
    const [was, is] = [from, to].map((vkey) => {
      const key = parseVerifierKey(vkey);
      return key.ok && openCheckpoint(checkpoint, key.value).ok;
    });
    expect([was, is]).toEqual([false, true]);
    follower.kill("SIGINT");
    expect(await ended).toBe(0);
    await gateway.stop();
    for (const key of [from, to]) {
      const verified = await home.verify("--key", key, "--against", place);
      expect(verified.out).toContain("the log is what was signed");
      expect(verified.code).toBe(0);
    }
    const other = await home.verify("--key", `${from.slice(0, -4)}AAA=`);
    expect(other.code).toBe(1);
  });
});

/** What somebody with all of the home's files would do: new key, changed entries, every mark made to fit. */
function rewriteWhole(home: string): void {
  const log = join(home, "data/log");
  const keys = join(home, "data/keys");
  const [, id = ""] = /log_\w{26}/.exec(readFileSync(join(keys, "log.key"), "utf8"))?.[0].split("_") ?? [];
  const seed = randomBytes(32);
  const key = logKeyFromSeed(`log_${id}`, seed);
  const typed = Buffer.concat([Buffer.of(1), seed]).toString("base64");
  const hash = Buffer.from(key.keyHash).toString("hex");
  writeFileSync(join(keys, "log.key"), `PRIVATE+KEY+${key.name}+${hash}+${typed}\n`);
  const file = join(log, "000001.jsonl");
  // From the policy on: a decision that stands in the log names a checkpoint of the old one, and would tell.
  const lines = [...readFileSync(file, "utf8").split("\n").slice(0, 2), ""];
  lines[0] = (lines[0] as string).replace(/"key":"[^"]+"/, `"key":"${key.vkey}"`);
  writeFileSync(file, lines.join("\n").replaceAll('"countersign":"', '"countersign":"9.'));
  writeFileSync(join(log, "checkpoint"), "");
  for (const name of ["state.json", "witnessed", "log/tiles"])
    rmSync(join(home, "data", name), { recursive: true, force: true });
}
