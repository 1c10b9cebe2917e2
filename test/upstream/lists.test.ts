import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import type { OpenedHome } from "../../src/compose.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamRegistration } from "../../src/upstream/registration.ts";
import {
  fixtureEntry,
  makeUpstreamWorld,
  startHttpFixture,
  type UpstreamWorld,
} from "../support/upstream-world.ts";
import { CALLER, callTool, decide, ticketOf, type World } from "../support/world.ts";

// How often is a server asked for its list, and on which list does a call rest (R1, U6)? One list for a change that policy
// allowed; and nothing that people were waited for rests on a list from before they were.
//
// The connections' time stands still unless a test moves it, so that "in the same second" is no matter of luck.

const RAW = fileURLToPath(new URL("../support/raw-upstream.mjs", import.meta.url));
const RULES = `rules:
  - id: vouched-reads-are-free
    match: { effect: read }
    verdict: allow
  - id: lab-is-free
    match: { environment: lab }
    verdict: allow
  - id: with-its-caller
    match: { environment: later }
    verdict: hold
    approve: { by: [sre], execute: when_attached }
`;

let world: UpstreamWorld;
let time = 0;
const after: (() => unknown)[] = [];
afterEach(async () => {
  await world.close();
  for (const stop of after.splice(0)) await stop();
});

const make = (entries: (dir: string) => Readonly<Record<string, object>>): Promise<UpstreamWorld> => {
  time = 10_000;
  return makeUpstreamWorld(entries, { rules: RULES, pool: { now: () => time } });
};
const startRaw = async (mode: string, entry: object = {}): Promise<void> => {
  world = await make((dir) => ({
    raw: fixtureEntry(dir, {
      env: { RAW_MODE: mode },
      entry: { command: [process.execPath, RAW], environment: "lab", ...entry },
    }),
  }));
};

const lists = (): number => {
  const file = join(world.dir, "lists");
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").length : 0;
};
/** How many lists were asked for while this was done, and what it came to. */
async function counting<T>(work: () => Promise<T>): Promise<{ readonly asked: number; readonly came: T }> {
  const before = lists();
  const came = await work();
  return { asked: lists() - before, came };
}
const call = (tool: string, args: JsonObject, holdMs = 60_000, home = world.home): Promise<Reply> =>
  callTool(home, tool, args, { holdMs });
const wait = (reply: Reply, home: OpenedHome = world.home): Promise<Reply> =>
  home.gate.wait(ticketOf(reply), CALLER, { holdMs: 60_000, signal: new AbortController().signal });
const approve = async (reply: Reply, home: OpenedHome = world.home): Promise<void> => {
  expect(await decide(world as unknown as World, home, ticketOf(reply), "ben")).toMatchObject({ ok: true });
};

const WAYS = [
  {
    way: "a command",
    async start(entry: object) {
      world = await make((dir) => ({ fix: fixtureEntry(dir, { entry }) }));
    },
  },
  {
    way: "a URL",
    async start(entry: object) {
      const dir = mkdtempSync(join(tmpdir(), "countersign-lists-"));
      const http = await startHttpFixture(dir);
      after.push(http.stop, () => rmSync(dir, { recursive: true, force: true }));
      world = await make((own) => {
        rmSync(own, { recursive: true });
        symlinkSync(dir, own);
        return { fix: { url: http.url, environment: "prod", ...entry } };
      });
    },
  },
];

describe.each(WAYS)("a server behind $way", ({ start }) => {
  test("is asked for its list once by a change that policy allows, and by each anew", async () => {
    await start({ environment: "lab" });
    for (const line of [1, 2, 3]) {
      const { asked, came } = await counting(() => call("fix__append", { line }));
      expect(came).toMatchObject({ status: "done" });
      expect(asked, `call ${line}`).toBe(1);
    }
    expect(world.effects()).toHaveLength(3);
  });

  test("is asked once a second by reads that are vouched for", async () => {
    await start({ vouch: ["read_state"] });
    const read = (key: string) => counting(() => call("fix__read_state", { key }));
    expect(await read("a")).toMatchObject({ asked: 1, came: { status: "done" } });
    time += 1_000;
    expect(await read("b")).toMatchObject({ asked: 0, came: { status: "done" } });
    time += 1;
    expect(await read("c")).toMatchObject({ asked: 1, came: { status: "done" } });
  });

  test("is asked before people are, and twice more once they have approved, though all is in one second", async () => {
    await start({});
    const held = await counting(() => call("fix__append", { line: 1 }, 0));
    expect(held.asked).toBe(1);
    // For the guard, and for the call.
    const ran = await counting(async () => {
      await approve(held.came);
      return wait(held.came);
    });
    expect(ran).toMatchObject({ asked: 2, came: { status: "done" } });
    expect(world.effects()).toHaveLength(1);
  });

  test("is asked anew for a grant that its caller comes for, by ticket or by the same call", async () => {
    await start({ environment: "later" });
    for (const line of [1, 2]) {
      const held = await call("fix__append", { line }, 0);
      await approve(held);
      const ran = await counting(() => (line === 1 ? wait(held) : call("fix__append", { line })));
      expect(ran).toMatchObject({ asked: 2, came: { status: "done" } });
    }
    expect(world.effects()).toHaveLength(2);
  });

  test("is asked anew for a grant that is picked up after a restart", async () => {
    await start({ environment: "later" });
    const [first, second] = [
      await call("fix__append", { line: 1 }, 0),
      await call("fix__append", { line: 2 }, 0),
    ];
    await approve(first);
    await approve(second);
    await world.home.close();
    const home = await world.open();
    // The new process has a list of this second, which somebody else asked for.
    await call("fix__append", { line: 3 }, 0, home);
    expect(await counting(() => wait(first, home))).toMatchObject({ asked: 2, came: { status: "done" } });
    world.changeDefinitions(" and it sends a copy to me");
    expect(await wait(second, home)).toMatchObject({ status: "refused", code: "stale" });
    expect(world.effects()).toHaveLength(1);
  });

  test("is asked again where the disk took longer than a second, and what changed meanwhile is not called", async () => {
    await start({ environment: "lab" });
    const unfollow = world.home.store.follow(() => void (time += 1_001));
    expect(await counting(() => call("fix__append", { line: 1 }))).toMatchObject({
      asked: 2,
      came: { status: "done" },
    });
    unfollow();
    world.home.store.follow(() => {
      time += 1_001;
      world.changeDefinitions(" and it sends a copy to me");
    });
    expect(await call("fix__append", { line: 2 })).toMatchObject({
      status: "failed",
      code: "definition_changed",
    });
    expect(world.effects()).toHaveLength(1);
  });
});

test("an allowed change is tried once before it is made, and not again for its guard", async () => {
  await startRaw("", { tools: { act: { dry_run: { argument: "dryRun", value: true } } } });
  expect(await counting(() => call("raw__act", { n: 1 }))).toMatchObject({
    asked: 1,
    came: { status: "done" },
  });
  expect(world.effects().map(({ args }) => args)).toEqual([{ dryRun: true, n: 1 }, { n: 1 }]);
});

test("a change that the server tells of between an allowed call's preview and its sending is heard", async () => {
  await startRaw("changes_in_dry_run", { tools: { act: { dry_run: { argument: "dryRun", value: true } } } });
  expect(await call("raw__act", { n: 1 })).toMatchObject({ status: "failed", code: "definition_changed" });
  expect(world.effects().map(({ args }) => args)).toEqual([{ dryRun: true, n: 1 }]);
});

test("a change that the server tells of in one breath with the list of the preview is heard", async () => {
  await startRaw("changes_with_list");
  writeFileSync(join(world.dir, "change"), "");
  expect(await counting(() => call("raw__act", { n: 1 }))).toMatchObject({
    asked: 2,
    came: { status: "failed", code: "definition_changed" },
  });
  expect(world.effects()).toEqual([]);
});

test("a list that was asked for earlier and comes later is kept for nobody (U6)", async () => {
  await startRaw("lists_in_turn");
  const pool = createPool({
    version: "test",
    env: { PATH: process.env["PATH"] },
    workRoot: join(world.root, "work of this test"),
    log: pino({ level: "silent" }),
    now: () => time,
  });
  after.unshift(() => pool.close());
  const entry = upstreamRegistration.parse(
    fixtureEntry(world.dir, {
      env: { RAW_MODE: "lists_in_turn" },
      entry: { command: [process.execPath, RAW], environment: "lab" },
    }),
  );
  const line = pool.upstream("raw", entry);
  await line.facts();
  writeFileSync(join(world.dir, "change"), "");
  const before = lists();
  const first = line.list(0);
  time += 1;
  const second = line.list(0);
  const digest = async (list: ReturnType<typeof line.list>) => (await list).definitions.get("act")?.digest;
  const [older, younger] = await Promise.all([digest(first), digest(second)]);
  expect(older).not.toBe(younger);
  expect(await digest(line.list(1_000))).toBe(younger);
  expect(lists() - before).toBe(2);
});
