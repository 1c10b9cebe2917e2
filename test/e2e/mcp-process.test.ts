import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { bundleScriptedGateway, control } from "../support/scripted-target.ts";
import { legacyInitialize, legacyRequest } from "../support/rpc.ts";

// What only a process of its own shows: how it ends, and what it writes where.

let dir: string;
let program: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "countersign-process-"));
  program = await bundleScriptedGateway(dir);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

interface Child {
  readonly process: ChildProcessWithoutNullStreams;
  readonly out: () => string;
  readonly exit: Promise<number | null>;
  readonly people: ReturnType<typeof control>;
}
const children: Child[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.process.kill("SIGKILL");
});

async function start(mode: readonly string[], env: Record<string, string> = {}): Promise<Child> {
  const own = await mkdtemp(join(dir, "home-"));
  const child = spawn(process.execPath, [program, ...mode.map((word) => (word === "DIR" ? own : word))], {
    env: { ...process.env, LOG_LEVEL: "trace", ...env },
  });
  let out = "";
  child.stdout.on("data", (chunk) => (out += String(chunk)));
  child.stderr.resume();
  child.stdin.on("error", () => undefined);
  const started = {
    process: child,
    out: () => out,
    exit: once(child, "exit").then(([code]) => code as number | null),
    people: control(own),
  };
  children.push(started);
  return started;
}
const send = (child: Child, message: object): void =>
  void child.process.stdin.write(`${JSON.stringify(message)}\n`);
const messages = (child: Child): Record<string, unknown>[] =>
  child
    .out()
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const deploy = {
  name: "deploy_service",
  arguments: { service: "web", ref: "v1", justification: "because" },
};
const hold = async (child: Child): Promise<string> => {
  send(child, legacyInitialize(1));
  send(child, legacyRequest(2, "tools/call", deploy));
  return eventually(async () => (await child.people.held())[0]);
};
const statusOf = (message: Record<string, unknown> | undefined): unknown =>
  (message?.["result"] as { structuredContent?: { status: string } } | undefined)?.structuredContent?.status;

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends a stdio gateway cleanly, and held calls get their tickets",
  async (signal) => {
    const child = await start(["stdio", "DIR"], { HOLD_MS: "60000" });
    await hold(child);
    child.process.kill(signal);
    expect(await child.exit).toBe(0);
    expect(messages(child).map(statusOf)).toContain("pending");
  },
);

test("the end of input ends a stdio gateway cleanly", async () => {
  const child = await start(["stdio", "DIR"], { HOLD_MS: "60000" });
  await hold(child);
  child.process.stdin.end();
  expect(await child.exit).toBe(0);
});

test("a client that is killed does not take the gateway down uncleanly, nor the call that runs", async () => {
  const child = await start(["stdio", "DIR"], { HOLD_MS: "60000", DEPLOY_MS: "600" });
  const ticket = await hold(child);
  const approved = child.people.approve(ticket);
  child.process.stdout.destroy();
  child.process.stdin.destroy();
  expect(await child.exit).toBe(0);
  await approved;
});

test("stdout carries the protocol and nothing else, however loud the log is (O1)", async () => {
  const child = await start(["stdio", "DIR"], { HOLD_MS: "10" });
  await hold(child);
  for (const text of ["garbage", '{"jsonrpc":"2.0","id":3,"method":"nothing"}', '{"jsonrpc":"2.0"}', "[1]"]) {
    child.process.stdin.write(`${text}\n`);
  }
  send(child, legacyRequest(4, "tools/list"));
  await eventually(async () => (child.out().includes('"id":4') ? true : undefined));
  for (const message of messages(child)) expect(message["jsonrpc"]).toBe("2.0");
});

test("a gateway that listens ends on SIGTERM, and a shim to it on SIGTERM and on end of input", async () => {
  const token = "csm_a-token-that-is-long-enough";
  const gateway = await start(["http", "DIR", token]);
  const url = await eventually(async () => {
    const port = await gateway.people.held().then(() => true);
    return port ? readUrl(gateway) : undefined;
  });
  for (const end of ["signal", "input"] as const) {
    const shim = await start(["shim", url, token]);
    send(shim, legacyInitialize(1));
    await eventually(async () => (shim.out().includes('"id":1') ? true : undefined));
    if (end === "signal") shim.process.kill("SIGTERM");
    else shim.process.stdin.end();
    expect(await shim.exit).toBe(0);
    expect(messages(shim)).toHaveLength(1);
  }
  gateway.process.kill("SIGTERM");
  expect(await gateway.exit).toBe(0);
});

const readUrl = (child: Child): Promise<string> =>
  eventually(() => readFile(join(String(child.process.spawnargs[3]), "url"), "utf8").catch(() => undefined));
