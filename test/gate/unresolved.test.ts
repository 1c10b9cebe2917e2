import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import { unresolvedSides, type Caller } from "../../src/request/principal.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { serveStdio } from "../../src/transport/mcp/stdio.ts";
import { readNote, writeNote } from "../support/note-tools.ts";
import { createRawPipe } from "../support/raw-stdio.ts";
import { legacyInitialize, legacyRequest, notification } from "../support/rpc.ts";
import { BOOKS, CALLER, callTool, makeWorld, type World, type WorldOptions } from "../support/world.ts";

// C1: of a caller whom the policy does not know there are reads, where a rule allows them to everybody. All else is
// denied, and nobody is asked.

let world: World;
const start = async (options: WorldOptions = {}): Promise<World> => (world = await makeWorld(options));
afterEach(async () => {
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

const ACCOUNT: Caller = { ...CALLER, principal: { kind: "os", account: "1000@laptop" } };
const NO_AGENT: Caller = { ...CALLER, agent: null };
const GHOST: Caller = { ...CALLER, agent: "ghost" };
const NOBODY: Caller = { ...ACCOUNT, agent: null };
const read = (caller: Caller) =>
  callTool(world.home, "read_note", { book: "log" }, { caller, holdMs: 5_000 });
const newest = () => world.home.requests.list(1)[0]!;

test("a read that the policy allows to everybody is answered, and the record says who could not be resolved (C1)", async () => {
  await start();
  await writeFile(join(world.notes.dir, "log"), "hello");
  for (const [caller, unresolved, principal, agent] of [
    [ACCOUNT, ["principal"], { kind: "unresolved", id: "1000@laptop" }, "claude"],
    [NO_AGENT, ["agent"], { kind: "person", id: "ana" }, ""],
    [GHOST, ["agent"], { kind: "person", id: "ana" }, "ghost"],
    [NOBODY, ["principal", "agent"], { kind: "unresolved", id: "1000@laptop" }, ""],
  ] as const) {
    expect(await read(caller)).toMatchObject({ status: "done", output: { text: "hello" } });
    const [received] = await world.home.requests.history(newest().id);
    if (received?.kind !== "request.received") throw new Error("not received");
    const { requester } = received.data;
    expect(unresolvedSides(requester)).toEqual(unresolved);
    expect(requester).toMatchObject({ principal, agent, chain: [] });
    expect(requester.owners).toEqual(agent === "claude" ? ["ana"] : []);
  }
  expect(newest()).toMatchObject({ principal: "1000@laptop (unresolved)", agent: "no named agent" });
});

test("the same call, once its caller is known, is another request and not the answer of before (R1)", async () => {
  await start({ head: "adopt: on_save" });
  const call = (caller: Caller) =>
    callTool(world.home, "read_note", { book: "log" }, { caller, callId: "one", holdMs: 5_000 });
  expect(await call(GHOST)).toMatchObject({ status: "done" });
  const first = newest().id;
  const file = world.settings.policyFile;
  await writeFile(
    file,
    (await readFile(file, "utf8")).replace("agents: {", "agents: { ghost: { owners: [ana] },"),
  );
  await world.home.adoption.adopt([]);
  expect(await call(GHOST)).toMatchObject({ status: "done" });
  expect(newest().id).not.toBe(first);
  expect(
    await world.home.gate.wait(first, GHOST, { holdMs: 0, signal: AbortSignal.timeout(1_000) }),
  ).toMatchObject({
    code: "unknown_ticket",
  });
});

test("a change by somebody unknown is denied with the lines to add for both sides, and no preview is made (C1)", async () => {
  await start();
  const reply = await callTool(world.home, "write_note", { book: "log", text: "x" }, { caller: NOBODY });
  expect(reply).toMatchObject({ status: "refused", code: "unknown_requester", class: "denied_final" });
  expect(JSON.stringify(reply)).toContain('os: [\\"1000@laptop\\"]');
  expect(JSON.stringify(reply)).toContain("stdio: { agent: <name> }");
  expect(world.notes.runs).toEqual([]);
});

test("whether a call is a read is asked of the tool with its arguments, never of a tool's name (C1)", async () => {
  await start();
  const byBook = {
    ...readNote(world.notes),
    fixedEffect: null,
    effect: (input: object) =>
      "book" in input && input.book === "log" ? ("read" as const) : ("write" as const),
  };
  const home = await world.open({ tools: [byBook] });
  const call = (book: string) => callTool(home, "read_note", { book }, { caller: GHOST, holdMs: 5_000 });
  expect(await call("ledger")).toMatchObject({ code: "unknown_requester" });
  expect(await call("log")).toMatchObject({ status: "done" });
});

test("a read that would be held is denied: nobody could say who may not decide on it (C1)", async () => {
  await start({
    rules: "rules:\n  - { id: ask, match: { tool: read_note }, verdict: hold, because: looked at }\n",
  });
  expect(await read(GHOST)).toMatchObject({
    code: "unknown_requester",
    deniedBy: "gate",
    because: ["looked at"],
  });
  const kinds = (await world.home.requests.history(newest().id)).map(({ kind }) => kind);
  expect(kinds).toEqual(["request.received", "request.refused"]);
  expect(world.home.desk.pending()).toEqual([]);
});

test("a hold that only the preview shows denies it too, and an allow that only the preview shows answers (C1)", async () => {
  const rule = (when: string): string =>
    `rules:\n  - { id: small, match: { tool: read_note }, when: '${when}', verdict: allow }\n`;
  const withPreview = () => {
    const tool = readNote(world.notes);
    return [
      {
        ...tool,
        preview: (input: object) =>
          writeNote(world.notes, BOOKS)
            .preview({ ...input, text: "", loud: false }, undefined as never)
            .then((preview) => ({ ...preview, plan: input, guard: "read", files: [] }) as never),
      },
    ];
  };
  await start({ rules: rule("preview.counts.characters > 5") });
  const strict = await world.open({ tools: withPreview() as never });
  const call = (book: string) => callTool(strict, "read_note", { book }, { caller: GHOST, holdMs: 5_000 });
  expect(await call("log")).toMatchObject({ code: "unknown_requester" });
  await world.close();
  await start({ rules: rule("preview.counts.characters < 5") });
  const lax = await world.open({ tools: withPreview() as never });
  expect(await callTool(lax, "read_note", { book: "log" }, { caller: GHOST, holdMs: 5_000 })).toMatchObject({
    status: "done",
  });
});

test("an allow rule that names an agent or principal is not for somebody unknown; a deny rule is (design §6)", async () => {
  await start({
    rules: `rules:
  - { id: by-match, match: { tool: read_note, agent: "*" }, verdict: allow }
  - { id: by-person, match: { tool: read_note, principal: "*" }, verdict: allow }
  - { id: by-condition, match: { tool: read_note }, when: 'agent != "" && principal.id != "" ', verdict: allow }
`,
  });
  expect(await read(CALLER)).toMatchObject({ status: "done" });
  expect(await read(NOBODY)).toMatchObject({ code: "unknown_requester" });
  await world.close();
  for (const rule of [
    "match: { tool: read_note, agent: robot }",
    "match: { tool: read_note, principal: eva }",
    `match: { tool: read_note }, when: 'agent == "robot" || principal.id == "eva"'`,
  ]) {
    await start({
      rules: `rules:\n  - { id: free, match: { tool: read_note }, verdict: allow }\n  - { id: not-those, ${rule}, verdict: deny }\n`,
    });
    expect(await read(CALLER)).toMatchObject({ status: "done" });
    expect(await read(NOBODY)).toMatchObject({ code: "denied_by_policy" });
    await world.close();
  }
  await start();
});

test("a disabled person is somebody unknown, not the person they were (C1)", async () => {
  await start({ head: "adopt: on_save" });
  const file = world.settings.policyFile;
  await writeFile(
    file,
    (await readFile(file, "utf8")).replace("ana: { name: ana,", "ana: { name: ana, disabled: true,"),
  );
  await world.home.adoption.adopt([]);
  expect(await read(CALLER)).toMatchObject({ status: "done" });
  expect(newest()).toMatchObject({ principal: "ana (unresolved)" });
});

test("an agent that names itself anew with every read does not get around the limit", async () => {
  await start({ limits: { readsPerMinute: 5 } });
  const replies = [];
  for (let i = 0; i < 10; i += 1) replies.push(await read({ ...CALLER, agent: `ghost${i}` }));
  expect(replies.filter(({ status }) => status === "done")).toHaveLength(5);
  expect(replies.at(-1)).toMatchObject({ code: "rate_limited" });
});

test("a name of any length and kind fits into the record, and is shown neutral (P3)", async () => {
  await start();
  expect(await read({ ...CALLER, agent: `\u001b[31m${"x".repeat(100_000)}` })).toMatchObject({
    status: "done",
  });
  expect(newest().agent.length).toBeLessThan(150);
});

test("over MCP, an agent that nobody registered reads and is told which lines a change takes (C1)", async () => {
  await start();
  await writeFile(join(world.notes.dir, "log"), "hello");
  const pipe = createRawPipe();
  const done = serveStdio(world.home.gate, NOBODY, {
    holdMs: 2_000,
    version: "0",
    log: pino({ level: "silent" }),
    stdin: pipe.stdin,
    stdout: pipe.stdout,
  });
  pipe.send(legacyInitialize(0));
  await pipe.receive();
  pipe.send(notification("notifications/initialized"));
  const call = async (id: number, name: string, args: object): Promise<string> => {
    pipe.send(legacyRequest(id, "tools/call", { name, arguments: args }));
    return JSON.stringify(await pipe.receive());
  };
  expect(await call(1, "read_note", { book: "log" })).toContain("hello");
  const refused = await call(2, "write_note", { book: "log", text: "x", justification: "why" });
  expect(refused).toContain("unknown_requester");
  expect(refused).toContain("1000@laptop");
  expect(await readFile(join(world.notes.dir, "log"), "utf8")).toBe("hello");
  pipe.end();
  await done;
});
