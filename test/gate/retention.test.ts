import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import type { OpenedHome } from "../../src/compose.ts";
import { isFault } from "../../src/errors.ts";
import { createRetention, type Retention } from "../../src/gate/retention.ts";
import type { RequestId } from "../../src/base/id.ts";
import { buildReceipt, formatReceipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import { recordDocuments } from "../../src/request/record-documents.ts";
import type { Reply } from "../../src/gate/reply.ts";
import type { Store } from "../../src/store/store.ts";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { callTool, decide, makeWorld, ticketOf, type World, type WorldOptions } from "../support/world.ts";

// Record documents live as long as the operator says, and the log says truthfully which are gone, whoever dies when.

const DAY = 86_400_000;
const KEEP = 10 * DAY;
let world: World;
let clock: FakeClock;
afterEach(async () => {
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

async function start(options: WorldOptions = {}): Promise<void> {
  clock = createFakeClock();
  world = await makeWorld({ clock, ...options });
}

/** What the steward of `home` has for it; `store` may be one that fails. */
const retentionOf = (home: OpenedHome, store: Pick<Store, "append" | "blobs"> = home.store): Retention =>
  createRetention({
    clock,
    state: home.fold.state,
    store: {
      append: store.append.bind(store),
      blobs: store.blobs,
      catchUp: () => home.store.catchUp(),
      entriesOf: (id) => home.store.entriesOf(id),
      lines: (from) => home.store.lines(from),
    },
    recordsMs: KEEP,
    log: pino({ level: "silent" }),
    clockIsBehind: () => false,
  });

const idOf = (reply: Reply): RequestId => {
  if (!("request" in reply) || reply.request === null) throw new Error(JSON.stringify(reply));
  return reply.request;
};
/** A door that is open and, once `release` was called, can be closed again. */
async function openDoor(): Promise<{ readonly id: RequestId; release(): void }> {
  let release: () => void = () => undefined;
  const latch = new Promise<void>((resolve) => (release = resolve));
  world.notes.before = () => latch;
  await world.home.startSteward();
  const args = { door: "front", ms: 60_000 };
  return { id: idOf(await callTool(world.home, "open_door", args, { holdMs: 5_000 })), release };
}
const write = async (text: string, book = "log"): Promise<RequestId> => {
  return idOf(
    await callTool(world.home, "write_note", { book, text, justification: "asked to" }, { holdMs: 5_000 }),
  );
};
const documentsOf = async (id: RequestId, home = world.home) =>
  recordDocuments(await home.requests.history(id));
const kept = async (id: RequestId, home = world.home): Promise<string[]> => {
  const names: string[] = [];
  for (const { name, tag, ref } of await documentsOf(id, home)) {
    const there = await home.store.blobs.get(tag, ref).then(
      () => true,
      (error: unknown) => !isFault(error, "BLOB_MISSING"),
    );
    if (there) names.push(name);
  }
  return names;
};
const erasedEntries = async (home = world.home) =>
  (await home.store.newestEntries(1_000)).filter(
    (entry) => entry.kind === "blob.erased" && entry.data.documents !== undefined,
  );

test("documents of an ended request are erased when their time is over, not before, and the log says which", async () => {
  await start();
  const old = await write("one");
  expect(await kept(old)).toEqual(["arguments", "reasoning", "view", "inputs", "result"]);
  clock.advance(KEEP - DAY);
  const young = await write("two");
  const retention = retentionOf(world.home);
  await retention.step();
  expect(await kept(old)).toHaveLength(5);
  clock.advance(DAY + 1);
  await retention.step();
  expect(await kept(old)).toEqual([]);
  expect(await kept(young)).toHaveLength(5);
  const [entry, ...others] = await erasedEntries();
  expect(others).toEqual([]);
  expect(entry).toMatchObject({
    subject: `erasure:${old}`,
    data: {
      why: "retention",
      request: old,
      documents: (await documentsOf(old)).map(({ ref }) => ref.digest),
    },
  });
  const history = await world.home.requests.history(old);
  const [view] = (await documentsOf(old)).filter(({ name }) => name === "view");
  expect(await world.home.records.read(view!, history)).toMatchObject({
    state: "erased",
    erasure: { time: entry!.time, why: "retention" },
  });
});

test("nothing of an open request goes, however long it waits, nor of one that ended lately (C5)", async () => {
  await start({
    rules:
      "rules:\n  - { id: ask, match: { tool: write_note }, verdict: hold, approve: { by: sre, within: 30d } }\n",
  });
  const open = ticketOf(await callTool(world.home, "write_note", { book: "log", text: "x" })) as RequestId;
  clock.advance(KEEP + DAY);
  const retention = retentionOf(world.home);
  await retention.step();
  expect(await kept(open)).toHaveLength(3);
  await decide(world, world.home, open, "ben", "deny");
  clock.advance(DAY);
  await retention.step();
  expect(await kept(open)).toHaveLength(3);
  clock.advance(KEEP);
  await retention.step();
  expect(await kept(open)).toEqual([]);
});

test("an unknown outcome keeps its documents until somebody has settled it, and their time begins then (X2)", async () => {
  await start();
  const id = await write("CANNOT_TELL LOST_REPLY");
  expect(world.home.requests.list(1)[0]).toMatchObject({ phase: "unknown" });
  clock.advance(KEEP * 3);
  const retention = retentionOf(world.home);
  await retention.step();
  expect(await kept(id)).toHaveLength(4);
  await world.home.resolveUnknown(id, "done", "ana", "I looked");
  clock.advance(DAY);
  await retention.step();
  expect(await kept(id)).toHaveLength(4);
  clock.advance(KEEP);
  await retention.step();
  expect(await kept(id)).toEqual([]);
});

test("what a lease still has to undo keeps its documents until the lease has ended (X3)", async () => {
  await start();
  const { id, release } = await openDoor();
  clock.advance(KEEP * 2);
  const retention = retentionOf(world.home);
  await retention.step();
  expect((await kept(id)).length).toBeGreaterThan(0);
  release();
  await expect.poll(() => world.home.fold.state.executions.leases.size, { timeout: 10_000 }).toBe(0);
  clock.advance(KEEP + DAY);
  await retention.step();
  expect(await kept(id)).toEqual([]);
});

test("the adopted policy stays readable, and so a receipt proves what it did and says what is gone", async () => {
  await start();
  const id = await write("one");
  clock.advance(KEEP * 10);
  await retentionOf(world.home).step();
  const { home } = world;
  const receipt = await buildReceipt({
    store: home.store,
    requestId: id,
    withBlobs: true,
    adoptions: home.adoption.sequence(),
    resolvePolicy: () => home.adoption.current().document,
  });
  expect(receipt.missing.map(({ tag }) => tag)).toEqual(["arguments", "reasoning", "view", "result"]);
  expect(receipt.blobs.map(({ tag }) => tag)).toEqual(["policy"]);
  const checked = verifyReceipt(formatReceipt(receipt), { trustedKeys: [receipt.log.key] });
  expect(checked.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  expect(checked.summary?.limits.join("\n")).toMatch(/documents of the request were erased on .*: retention/);
  expect(checked.summary?.limits.join("\n")).not.toContain("missing");
  const again = await world.open();
  expect(again.adoption.current().revision).toBe(world.home.adoption.current().revision);
});

test("a step looks at so many requests and no more, and the next process goes on where it stopped", async () => {
  await start({ limits: { heldPerMinute: 1_000, openRequests: 1_000 } });
  const ids: RequestId[] = [];
  for (let i = 0; i < 70; i += 1) {
    const options = { callId: `c${i}`, holdMs: 5_000 };
    ids.push(idOf(await callTool(world.home, "read_note", { book: "log" }, options)));
  }
  // The outcome of the last one is on its way.
  await expect.poll(() => world.home.fold.state.requests.open.size).toBe(0);
  clock.advance(KEEP + DAY);
  await retentionOf(world.home).step();
  expect(await erasedEntries()).toHaveLength(32);
  expect(await kept(ids[31]!)).toEqual([]);
  expect((await kept(ids[32]!)).length).toBeGreaterThan(0);
  const { through } = world.home.fold.state.erasures;
  await world.home.store.writeSnapshot();
  const next = await world.open();
  expect(next.fold.state.erasures.through).toBe(through);
  const from: number[] = [];
  const retention = createRetention({
    clock,
    state: next.fold.state,
    store: {
      append: next.store.append,
      blobs: next.store.blobs,
      catchUp: () => next.store.catchUp(),
      entriesOf: (id) => next.store.entriesOf(id),
      lines(seq) {
        from.push(seq);
        return next.store.lines(seq);
      },
    },
    recordsMs: KEEP,
    log: pino({ level: "silent" }),
    clockIsBehind: () => false,
  });
  await retention.step();
  await retention.step();
  await retention.step();
  expect(from[0]).toBe(through + 1);
  expect(await erasedEntries(next)).toHaveLength(70);
  expect(await kept(ids[69]!, next)).toEqual([]);
});

test("where nothing is due, the log is not read again with every tick", async () => {
  await start();
  await write("one");
  let reads = 0;
  const { store } = world.home;
  const retention = createRetention({
    clock,
    state: world.home.fold.state,
    store: {
      append: store.append,
      blobs: store.blobs,
      catchUp: () => store.catchUp(),
      entriesOf: (id) => store.entriesOf(id),
      lines(seq) {
        reads += 1;
        return store.lines(seq);
      },
    },
    recordsMs: KEEP,
    log: pino({ level: "silent" }),
    clockIsBehind: () => false,
  });
  for (let i = 0; i < 10; i += 1) {
    await retention.step();
    clock.advance(5_000);
  }
  expect(reads).toBe(1);
});

class Killed extends Error {}
const kill = (): never => {
  throw new Killed("the process died here");
};

test("killed before the entry is written: nothing is gone, and the next process does it (L1)", async () => {
  await start();
  const id = await write("one");
  clock.advance(KEEP + DAY);
  const dying = { append: async () => kill(), blobs: world.home.store.blobs };
  await expect(retentionOf(world.home, dying).step()).rejects.toThrow(Killed);
  expect(await kept(id)).toHaveLength(5);
  expect(await erasedEntries()).toEqual([]);
  const next = await world.open();
  await retentionOf(next).step();
  expect(await kept(id, next)).toEqual([]);
  expect(await erasedEntries(next)).toHaveLength(1);
});

test.each(["before", "amid"] as const)(
  "killed %s the erasing: the log says what goes, and the next process makes it true, once (L1)",
  async (when) => {
    await start();
    const id = await write("one");
    clock.advance(KEEP + DAY);
    const { store } = world.home;
    const dying = {
      append: store.append,
      blobs: {
        ...store.blobs,
        async eraseRecords(refs: Parameters<typeof store.blobs.eraseRecords>[0]) {
          if (when === "amid") await store.blobs.eraseRecords(refs.slice(0, 2));
          kill();
        },
      },
    };
    await expect(retentionOf(world.home, dying).step()).rejects.toThrow(Killed);
    expect(await kept(id)).toHaveLength(when === "amid" ? 3 : 5);
    expect(await erasedEntries()).toHaveLength(1);
    const next = await world.open();
    await retentionOf(next).step();
    expect(await kept(id, next)).toEqual([]);
    expect(await erasedEntries(next)).toHaveLength(1);
  },
);

test("killed after the entry was written but before it was acknowledged: the next process makes it true (L1)", async () => {
  await start();
  const id = await write("one");
  clock.advance(KEEP + DAY);
  const { store } = world.home;
  const dying = {
    blobs: store.blobs,
    async append(batch: Parameters<Store["append"]>[0]) {
      await store.append(batch);
      return kill();
    },
  };
  await expect(retentionOf(world.home, dying).step()).rejects.toThrow(Killed);
  const next = await world.open();
  await retentionOf(next).step();
  expect(await kept(id, next)).toEqual([]);
  expect(await erasedEntries(next)).toHaveLength(1);
});

test("the steward does it by itself, as long as the operator's file says", async () => {
  await start({ recordsMs: KEEP });
  const id = await write("one");
  clock.advance(KEEP + DAY);
  await world.home.startSteward();
  await expect.poll(() => kept(id)).toEqual([]);
});

test("kept for ever means for ever", async () => {
  await start();
  const id = await write("one");
  clock.advance(KEEP * 1_000);
  await world.home.startSteward();
  expect(await kept(id)).toHaveLength(5);
});

test("a document that is gone without an entry is called lost, not erased", async () => {
  await start();
  const id = await write("one");
  const history = await world.home.requests.history(id);
  const [view] = (await documentsOf(id)).filter(({ name }) => name === "view");
  await world.home.store.blobs.erase(view!.ref);
  expect(await world.home.records.read(view!, history)).toEqual({ state: "lost" });
});

test("a person has an ended request's documents erased, and who and why is on record", async () => {
  await start();
  const [id, other] = [await write("one"), await write("two")];
  expect(await world.home.records.erase(id, "a customer asked for it", "ana")).toBe(5);
  expect(await kept(id)).toEqual([]);
  expect(await kept(other)).toHaveLength(5);
  expect(await world.home.store.blobs.sealedRequests()).not.toContain(id);
  expect(await world.home.records.erase(id, "again", "ana")).toBe(0);
  const history = await world.home.requests.history(id);
  expect(await world.home.records.erasures(history)).toMatchObject([
    { why: "a customer asked for it", by: "ana" },
  ]);
});

test("a person's erasure that was cut off is finished by the steward", async () => {
  await start();
  const id = await write("one");
  const { blobs } = world.home.store;
  const real = blobs.eraseRecords;
  Object.assign(blobs, { eraseRecords: async () => kill() });
  await expect(world.home.records.erase(id, "why", "ana")).rejects.toThrow(Killed);
  Object.assign(blobs, { eraseRecords: real });
  expect(await kept(id)).toHaveLength(5);
  const next = await world.open();
  await next.startSteward();
  await expect.poll(() => kept(id, next)).toEqual([]);
});

test("documents that people still decide on, or that an effect still needs, are not erased for anybody", async () => {
  await start();
  const held = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" })) as RequestId;
  await expect(world.home.records.erase(held, "why", "ana")).rejects.toMatchObject({
    code: "ERASURE_REFUSED",
  });
  const { id: door, release } = await openDoor();
  await expect(world.home.records.erase(door, "why", "ana")).rejects.toMatchObject({
    code: "ERASURE_REFUSED",
  });
  expect((await kept(door)).length).toBeGreaterThan(0);
  release();
});
