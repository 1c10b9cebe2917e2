import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { err, ok } from "../../src/base/result.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import { DEFAULT_LIMITS, type Settings } from "../../src/config/settings.ts";
import type { Check, Finding, Patient, Status } from "../../src/doctor/check.ts";
import { CHECKS } from "../../src/doctor/checks.ts";
import { examine } from "../../src/doctor/examine.ts";
import { createPatient } from "../../src/doctor/patient.ts";
import { CountersignError } from "../../src/errors.ts";
import { createCosigner } from "../../src/log/cosignature.ts";
import { createLogKey } from "../../src/log/checkpoint.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import { announce } from "../../src/serve/running.ts";
import { createNextLogKey } from "../../src/store/embedded/keys.ts";
import { systemFiles } from "../../src/store/embedded/files.ts";
import { noteInHome } from "../../src/witness/note-in-home.ts";
import { oauthSettings } from "../../src/config/oauth.ts";
import { openTokenIssuer } from "../support/token-issuer.ts";
import { snapshotDirectory } from "../support/snapshot.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

// Homes that are broken in every way a person could break one. Does the doctor say so, with the next step?

let world: World;
let settings: Settings;
let around: Surroundings;
beforeEach(async () => {
  world = await makeWorld();
  await callTool(world.home, "write_note", { book: "log", text: "hello" });
  await world.home.close();
  settings = world.settings;
  around = {
    env: {},
    cwd: world.root,
    platform: "linux",
    userHome: join(world.root, "user"),
    account: "1000@here",
  };
});
afterEach(() => world.close());

const data = (name = ""): string => join(settings.dataDir, name);
const patient = (change: Partial<Parameters<typeof createPatient>[0]> = {}): Patient =>
  createPatient({
    version: "test",
    around,
    clock: systemClock,
    home: settings.home,
    origin: "flag",
    settings,
    configFault: null,
    run: async (command, args) => {
      try {
        return { exitCode: 0, stdout: execFileSync(command, [...args]).toString(), stderr: "" };
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === "ENOENT"
          ? null
          : { exitCode: 1, stdout: "", stderr: "OpenSSH_9.2" };
      }
    },
    readRegistrations: async () => ok({}),
    loadPolicy(text, file) {
      const loaded = loadPolicy(text, { file, tools: null });
      return loaded.ok ? { ok: true, value: { policy: loaded.value } } : loaded;
    },
    ...change,
  });
const named = (name: string): Check => {
  const check = CHECKS.find((one) => one.name === name);
  if (check === undefined) throw new Error(`no check ${name}`);
  return check;
};
async function look(
  name: string,
  change: Partial<Parameters<typeof createPatient>[0]> = {},
): Promise<readonly Finding[]> {
  return (await examine(patient(change), [named(name)])).findings;
}
/** One finding of that status that says it, and says what to do. */
async function expectFound(
  name: string,
  status: Status,
  says: RegExp,
  change: Partial<Parameters<typeof createPatient>[0]> = {},
): Promise<void> {
  const found = await look(name, change);
  expect(found).toContainEqual(
    expect.objectContaining({
      status,
      says: expect.stringMatching(says),
      next: expect.stringMatching(/.../),
    }),
  );
}

test("a sound home has nothing wrong, and nothing in it is changed by looking", async () => {
  const before = snapshotDirectory(world.root, () => false);
  const { status, findings } = await examine(patient(), CHECKS);
  expect(findings.filter((one) => one.status === "fail")).toEqual([]);
  expect(status).toBe("warn");
  expect(new Set(findings.map((one) => one.check))).toEqual(new Set(CHECKS.map((one) => one.name)));
  for (const one of findings) expect(one.status === "ok" || (one.next ?? "") !== "", one.says).toBe(true);
  expect(snapshotDirectory(world.root, () => false)).toBe(before);
});

test("home: one that is not there; what follows is not guessed at", async () => {
  rmSync(data(), { recursive: true });
  const { status, findings } = await examine(patient(), CHECKS);
  expect(status).toBe("fail");
  expect(findings.map((one) => one.check)).toEqual(["home", "config", "programs"]);
  expect(findings[0]).toMatchObject({ status: "fail", next: expect.stringContaining("countersign init") });
});

test("config: one that does not load, every mistake with its place", async () => {
  const configFault = new CountersignError("CONFIG_INVALID", "two mistakes", {
    hint: "correct the file",
    details: { errors: ["countersign.yaml:2:1 polcy: unknown key", "countersign.yaml:9:3 port"] },
  });
  await expectFound("config", "fail", /2:1 polcy/, { settings: null, configFault });
  await expectFound("config", "fail", /9:3 port/, { settings: null, configFault });
});

test("isolation: none is said", async () => {
  await expectFound("isolation", "warn", /laptop/);
  expect(await look("isolation", { settings: { ...settings, isolation: "service" } })).toMatchObject([
    { status: "ok" },
  ]);
});

test.each([
  ["data directory", "", 0o755],
  ["key", "keys/log.key", 0o644],
  ["log segment", "log/000001.jsonl", 0o640],
  ["blobs", "blobs", 0o750],
])("permissions: a %s that others can reach", async (_, path, mode) => {
  chmodSync(data(path), mode);
  await expectFound("permissions", "fail", new RegExp(`has mode ${mode.toString(8)}`));
});

test.skipIf(process.getuid?.() !== 0)("permissions: a file of another owner", async () => {
  execFileSync("chown", ["12345", data("keys/seal.key")]);
  await expectFound("permissions", "fail", /belongs to uid 12345/);
});

describe("keys", () => {
  test("no key, half a key, another log's key, no sealing key", async () => {
    const whole = readFileSync(data("keys/log.key"));
    rmSync(data("keys/log.key"));
    await expectFound("keys", "fail", /holds no log.key/);
    writeFileSync(data("keys/log.key"), whole.subarray(0, 40), { mode: 0o600 });
    await expectFound("keys", "fail", /is not a log key/);
    const other = await makeWorld();
    await other.home.close();
    cpSync(join(other.settings.dataDir, "keys/log.key"), data("keys/log.key"));
    await expectFound("keys", "fail", /the log names the key/);
    await other.close();
    writeFileSync(data("keys/log.key"), whole, { mode: 0o600 });
    rmSync(data("keys/seal.key"));
    await expectFound("keys", "fail", /seal.key is missing/);
  });

  test("a rotation that was cut short, before and after its entry", async () => {
    const home = await world.open();
    await createNextLogKey(systemFiles, data("keys"), home.store.logId);
    await expectFound("keys", "warn", /did not happen/);
    const old = readFileSync(data("keys/log.key"));
    await home.rotateLogKey();
    await home.close();
    cpSync(data("keys/log.key"), data("keys/log.key.next"));
    writeFileSync(data("keys/log.key"), old);
    await expectFound("keys", "warn", /cut short after its entry/);
  });
});

describe("log", () => {
  const segment = (): string => data("log/000001.jsonl");
  test("none, changed, shortened, and torn", async () => {
    const whole = readFileSync(segment(), "utf8");
    writeFileSync(segment(), whole.replace("log.opened", "log.opaned"));
    await expectFound("log", "fail", /./);
    writeFileSync(segment(), `${whole.split("\n").slice(0, -3).join("\n")}\n`);
    await expectFound("log", "fail", /truncated/);
    writeFileSync(segment(), `${whole}{"v":1,"seq"`);
    await expectFound("log", "warn", /never ended/);
    rmSync(segment());
    await expectFound("log", "fail", /there is no log/);
  });

  test("checkpoint: blank, and signed by somebody else", async () => {
    writeFileSync(data("log/checkpoint"), "");
    await expectFound("checkpoint", "warn", /no checkpoint was signed yet/);
    const other = await makeWorld();
    await other.home.close();
    cpSync(join(other.settings.dataDir, "log/checkpoint"), data("log/checkpoint"));
    await expectFound("checkpoint", "fail", /signed by none of this log's keys/);
    await other.close();
  });

  test("clock: an entry that is ahead of it, with the way out", async () => {
    const clock = { ...systemClock, now: () => Date.now() - 3_600_000 };
    await expectFound("clock", "fail", /the clock is 1h.* behind the newest entry/, { clock });
    const [found] = await look("clock", { clock });
    expect(found?.next).toMatch(/set it .* or start a new home with countersign init/);
    expect(await look("clock")).toMatchObject([{ status: "ok" }]);
  });
});

describe("witnesses", () => {
  const cosigner = createCosigner({ name: "witness.example.com", privateKeyPem: createLogKey() });
  const leaveNote = async (agoMs: number): Promise<string> => {
    const home = await world.open();
    const note = cosigner.cosign(await home.store.checkpoint(), Math.floor((Date.now() - agoMs) / 1_000));
    await home.close();
    const key = parseVerifierKey(cosigner.vkey);
    if (key.ok) await noteInHome(settings.dataDir, key.value, note);
    return note;
  };

  test("none, an old one, a young one", async () => {
    await expectFound("witnesses", "warn", /no checkpoint has left this home/);
    await leaveNote(9 * 86_400_000);
    await expectFound("witnesses", "warn", /newest outside checkpoint is 9d/);
    await leaveNote(60_000);
    expect(await look("witnesses")).toMatchObject([{ status: "ok", says: expect.stringMatching(/is 1m/) }]);
  });

  test("one that saw more than there is, and one that anybody could have written", async () => {
    const whole = readFileSync(data("log/000001.jsonl"), "utf8");
    await leaveNote(60_000);
    writeFileSync(data("log/000001.jsonl"), `${whole.split("\n").slice(0, -3).join("\n")}\n`);
    await expectFound("witnesses", "fail", /a witness saw/);
    writeFileSync(data("log/000001.jsonl"), whole);
    const [name = ""] = readdirSync(data("witnessed"));
    writeFileSync(data(`witnessed/${name}`), "countersign.dev/log/x\n99\nAAAA\n\n— x AAAA\n");
    await expectFound("witnesses", "warn", /no checkpoint has left this home/);
  });
});

describe("policy", () => {
  const edit = (from: string | RegExp, to: string): void =>
    writeFileSync(settings.policyFile, readFileSync(settings.policyFile, "utf8").replace(from, to));

  test("a file with mistakes, a proposal that waits, and nothing adopted", async () => {
    edit("version: 1", "version: 1\nrulez: []");
    await expectFound("policy", "fail", /policy.yaml:\d+:\d+ .*rulez/);
    edit("\nrulez: []", "");
    edit("production is looked at", "production is looked at twice");
    await expectFound("policy", "warn", /policy.yaml differs from what was adopted/);
    const readRegistrations = async () => ok({ services: { web: { repository: "/srv/other.git" } } });
    await expectFound("policy", "warn", /registrations in countersign.yaml differ/, { readRegistrations });
    const unreadable = async () => err(["countersign.yaml:3:1 services: no"]);
    await expectFound("policy", "fail", /countersign.yaml:3:1/, { readRegistrations: unreadable });
    rmSync(settings.policyFile);
    await expectFound("policy", "fail", /can't be read/);
    for (const blob of readdirSync(data("blobs"))) rmSync(data(join("blobs", blob)), { recursive: true });
    await expectFound("policy", "fail", /the adopted policy does not load/);
    const log = data("log/000001.jsonl");
    writeFileSync(log, `${readFileSync(log, "utf8").split("\n")[0]}\n`);
    await expectFound("policy", "fail", /no policy was adopted/);
  });

  /** A home whose adopted policy is this one. */
  const adopt = async (head: string, more: Parameters<typeof makeWorld>[0] = {}): Promise<void> => {
    await world.close();
    world = await makeWorld({ head, ...more });
    await world.home.close();
    settings = world.settings;
  };

  test("people: in a group, and without a key that could count", async () => {
    const text = readFileSync(settings.policyFile, "utf8");
    const loaded = loadPolicy(
      text.replace(/chi: \{ name: chi, ssh: \[[^\]]*\]/, "chi: { name: chi, ssh: []"),
      {
        file: "policy.yaml",
        tools: null,
      },
    );
    if (!loaded.ok) throw new Error("the policy does not load");
    const base = patient();
    const adopted = async () => ({ policy: loaded.value, error: null, registry: "" });
    const found = await examine({ ...base, adopted }, [named("people")]);
    expect(found.findings).toMatchObject([
      { status: "warn", says: expect.stringMatching(/^chi is in a group and has no key/) },
    ]);
    expect(await look("people")).toMatchObject([{ status: "ok" }]);
  });

  test("clauses: one that the owners of an agent can't meet", async () => {
    await adopt("policy_change: { by: [security, sre], quorum: 2, assurance: A2 }", {
      rules: `rules:
  - id: security-alone
    match: { tool: write_note }
    verdict: hold
    approve: { by: [security], quorum: 2, assurance: A2, within: 10m }
    because: eva owns the robot, and dee is one
`,
    });
    await expectFound("clauses", "warn", /needs 2 of security with A2, and only dee can/);
  });

  test("tokens: a time that is over, an issuer without keys or people, a resource that is elsewhere", async () => {
    const idp = await openTokenIssuer("http://127.0.0.1:7331/mcp");
    const oauthOf = (resource: string, issuer = idp.url) => ({
      settings: { ...settings, oauth: oauthSettings({ resource, issuers: [{ issuer }] }) },
    });
    const client = { name: "ci", tokenSha256: "00", agent: "claude", principal: "ana" };
    const clients = [{ ...client, effects: null, expiresAt: 1 }];
    expect(await look("tokens")).toMatchObject([
      { status: "ok", says: expect.stringContaining("0 static tokens") },
    ]);
    await expectFound("tokens", "warn", /time of the token ci is over/, {
      settings: { ...settings, clients },
    });
    expect(await look("tokens", oauthOf("https://gate.example.com/mcp"))).toMatchObject([
      { status: "ok", says: `${idp.url} has 1 key` },
      { status: "warn" },
    ]);
    await expectFound(
      "tokens",
      "warn",
      /knows no person or service and no agent at/,
      oauthOf("https://gate.example.com/mcp"),
    );
    await expectFound("tokens", "fail", /oauth.resource is .*path \/mcp/, oauthOf("http://127.0.0.1:7331/"));
    idp.serve("/jwks", (_, response) => void response.end('{"keys":[]}'));
    await expectFound("tokens", "fail", /has no keys/, oauthOf("https://gate.example.com/mcp"));
    await idp.close();
    await expectFound("tokens", "fail", /can't be had/, oauthOf("https://gate.example.com/mcp"));
  });

  test("agents: nobody enabled owns one, and callers that the policy does not know", async () => {
    const client = { name: "ci", tokenSha256: "00", agent: "ghost", principal: "nobody" };
    const clients = [{ ...client, effects: null, expiresAt: null }];
    const change = { settings: { ...settings, clients, stdio: { agent: "cursor", principal: "ana" } } };
    await expectFound("agents", "warn", /clients: ci names the agent ghost/, change);
    await expectFound("agents", "warn", /clients: ci speaks for nobody/, change);
    await expectFound("agents", "warn", /stdio names the agent cursor/, change);
    const text = readFileSync(settings.policyFile, "utf8").replace(
      "eva: { name: eva,",
      "eva: { name: eva, disabled: true,",
    );
    const loaded = loadPolicy(text, { file: "policy.yaml", tools: null });
    if (!loaded.ok) throw new Error("the policy does not load");
    const adopted = async () => ({ policy: loaded.value, error: null, registry: "" });
    const found = await examine({ ...patient(), adopted }, [named("agents")]);
    expect(found.findings).toMatchObject([
      { status: "warn", says: expect.stringMatching(/^robot has no owner/) },
    ]);
  });
});

test("disk: less free than the gate demands", async () => {
  const limits = { ...DEFAULT_LIMITS, minFreeBytes: Number.MAX_SAFE_INTEGER };
  await expectFound("disk", "fail", /below the .* MiB of limits.min_free/, {
    settings: { ...settings, limits },
  });
});

test("locks: a folder that is synced", async () => {
  const synced = join(world.root, "Dropbox", "home");
  cpSync(settings.home, synced, { recursive: true });
  const change = { home: synced, settings: { ...settings, home: synced, dataDir: join(synced, "data") } };
  await expectFound("locks", "fail", /"Dropbox" is a synced folder/, change);
  expect(await look("locks")).toMatchObject([{ status: "ok", says: "kernel locks work here" }]);
});

test("ports: one that something else has", async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
  );
  const listeners = { mcp: { host: "127.0.0.1", port }, api: { host: "127.0.0.1", port: 0 } };
  await expectFound("ports", "fail", /listeners.mcp: 127.0.0.1:\d+ can't be opened \(EADDRINUSE\)/, {
    settings: { ...settings, listeners },
  });
  await new Promise((resolve) => server.close(resolve));
  expect(await look("ports", { settings: { ...settings, listeners } })).toMatchObject([{ status: "ok" }]);
});

test("gateway: none, one that does not answer, one of another release", async () => {
  await expectFound("gateway", "warn", /none runs/);
  const { thisOwner } = await import("../../src/execution/owner.ts");
  const refusal = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(refusal, () => socket.destroy()));
  });
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
  );
  const owner = thisOwner(Date.now());
  const url = `http://127.0.0.1:${port}`;
  await announce(settings.dataDir, { owner, mcp: url, api: url, version: "0.0.1" });
  await expectFound("gateway", "warn", /it is 0.0.1, and this command test/);
  expect(await look("ports")).toMatchObject([{ status: "ok", says: expect.stringContaining("gateway") }]);
  await new Promise((resolve) => server.close(resolve));
  await expectFound("gateway", "fail", /does not answer/);
});

test("leftovers: the announcement of a gateway that is gone, and half a write", async () => {
  mkdirSync(data("run"), { mode: 0o700 });
  const owner = { boot: "boot_x", pid: 2 ** 22 - 3, start: "1" };
  writeFileSync(data("run/gateway.json"), JSON.stringify({ owner, mcp: "http://x", api: "http://y" }));
  await expectFound("leftovers", "warn", /names a gateway that is gone/);
  writeFileSync(data("state.json.99.abcdef012345.tmp"), "");
  execFileSync("touch", ["-d", "2 hours ago", data("state.json.99.abcdef012345.tmp")]);
  await expectFound("leftovers", "warn", /state.json.99.*was left by a write/);
});

test("programs: git is missing, too old, or ssh-keygen is", async () => {
  await expectFound("programs", "fail", /git is not installed/, { run: async () => null });
  const old = async (command: string) => ({
    exitCode: 0,
    stdout: command === "git" ? "git version 2.17.1\n" : "",
    stderr: "OpenSSH_7.4p1",
  });
  await expectFound("programs", "fail", /git version 2.17.1 is too old/, { run: old });
  await expectFound("programs", "warn", /OpenSSH_7.4p1 is old/, { run: old });
  const run: Patient["run"] = async (command) =>
    command.startsWith("ssh") ? null : { exitCode: 0, stdout: "git version 2.43.0", stderr: "" };
  await expectFound("programs", "warn", /ssh-keygen is not installed/, { run });
});

test("a check that can't be done is a finding like any other", async () => {
  const broken: Check = {
    name: "odd",
    needs: "nothing",
    look: () => Promise.reject(new Error("EACCES: permission denied")),
  };
  expect((await examine(patient(), [broken])).findings).toMatchObject([
    { check: "odd", status: "fail", says: "could not be looked at: EACCES: permission denied" },
  ]);
});
