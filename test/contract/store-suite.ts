import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import type { RequestId } from "../../src/base/id.ts";
import { isFault } from "../../src/errors.ts";
import { MAX_ENTRY_BYTES, type Entry } from "../../src/log/entry.ts";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { fromHex, leafHash, rootOf, toHex, type TreeHash } from "../../src/log/merkle.ts";
import { verifyConsistency, verifyInclusion } from "../../src/log/merkle-proof.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import type { AppendResult, Batch, FoldPort, Store } from "../../src/store/store.ts";
import { countingFold, type CountingFold } from "../support/counting-fold.ts";
import { batchOf, requestAt, staleDraft, withdrawnDraft } from "../support/drafts.ts";
import { blobSuite } from "./blob-suite.ts";

// What every store keeps, run over each of them. The rules are those at the head of src/store/store.ts.

/** A log that may be opened several times at once, as by several processes. */
export interface StoreBed {
  open(parts: { readonly fold: FoldPort; readonly clock: Clock; readonly create: boolean }): Promise<Store>;
  remove(): Promise<void>;
}

/** `privateKey`: what the store finds as its log's key when it is made, for golden bytes. */
export type MakeStoreBed = (privateKey?: string) => Promise<StoreBed>;

export const SUITE_START = Date.UTC(2026, 10, 21, 10, 0, 0);
/** Ed25519 seed of 32 times 0x2a: a test key, worthless elsewhere. */
const GOLDEN_KEY =
  "PRIVATE+KEY+countersign.dev/log/log_01JZZZZZZZZZZZZZZZZZZZZZZZ+3bca6b39+ASoqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioq\n";
const GOLDEN_ROOT = "sha256:ff4ed8ec7a0c0f972504cd55a9ceda9dcf3873755e70df4ada2126c816a0b4c2";
const GOLDEN_LINES = [
  '{"v":1,"seq":337,"time":"2026-11-21T10:01:13.750Z","kind":"request.stale","subject":"req_01JD6QYZ00CQ4V5N7W8X9YZABC","policy":null,"more":1,"data":{"why":"guard_changed","message":"plain"}}',
  '{"v":1,"seq":338,"time":"2026-11-21T10:01:13.750Z","kind":"request.stale","subject":"policy","policy":null,"data":{"why":"guard_changed","message":"ünï \\"quoted\\" \u2028 🚀"}}',
  '{"v":1,"seq":339,"time":"2026-11-21T10:01:14.000Z","kind":"request.stale","subject":"req_01JD6QYZ00CQ4V5N7W8X9YZABC","policy":null,"keys":[{"key":"k295","until":1795255200000}],"data":{"why":"guard_changed","message":"number 295"}}',
];

export interface SuiteClock extends Clock {
  advance(ms: number): void;
  setWall(ms: number): void;
}

export function suiteClock(): SuiteClock {
  let wall = SUITE_START;
  let monotonic = 1_000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(ms) {
      wall += ms;
      monotonic += ms;
    },
    setWall: (ms) => void (wall = ms),
  };
}

/** Waits until `isTrue`, for what the system tells in its own time. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let waited = 0; !isTrue(); waited += 5) {
    if (waited > 10_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const entriesOf = (result: AppendResult): readonly Entry[] => {
  if (!result.ok) throw new Error(`conflict: ${JSON.stringify(result.conflict)}`);
  return result.entries;
};

export function storeSuite(name: string, make: MakeStoreBed): void {
  describe(name, () => {
    let bed: StoreBed;
    let clock: SuiteClock;
    let fold: CountingFold;
    let store: Store;
    const opened: Store[] = [];

    const openAnother = async (): Promise<{ store: Store; fold: CountingFold }> => {
      const another = countingFold();
      const second = await bed.open({ fold: another, clock, create: false });
      opened.push(second);
      return { store: second, fold: another };
    };
    const append = async (batch: Batch): Promise<readonly Entry[]> => entriesOf(await store.append(batch));
    const leaves = async (): Promise<TreeHash[]> =>
      (await collect(store.lines(0))).map(({ bytes }) => leafHash(bytes));

    beforeEach(async () => {
      bed = await make();
      clock = suiteClock();
      fold = countingFold();
      store = await bed.open({ fold, clock, create: true });
      opened.push(store);
    });
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close();
      await bed.remove();
    });

    test("a new log opens with its own id and key as entry 0", async () => {
      const [line] = await collect(store.lines(0));
      const entry = JSON.parse(Buffer.from(line?.bytes ?? []).toString()) as Entry<"log.opened">;
      expect(entry).toMatchObject({
        v: 1,
        seq: 0,
        kind: "log.opened",
        subject: "log",
        data: { log: store.logId },
      });
      expect(entry.data.key).toMatch(
        new RegExp(`^countersign\\.dev/log/${store.logId}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/]{44}$`),
      );
      expect(fold.size).toBe(1);
    });

    test("the fold sees an entry only when its append resolves (L1, S3)", async () => {
      const request = requestAt(clock.now());
      const pending = store.append(batchOf([staleDraft(request)]));
      expect(fold.newest(request)).toBeNull();
      expect(store.head().size).toBe(1);
      const [entry] = entriesOf(await pending);
      expect(fold.newest(request)).toBe(entry?.seq);
      expect(store.head().size).toBe(2);
    });

    test("numbers entries without gaps across batches, groups and stores (S2)", async () => {
      const second = await openAnother();
      const stores = [store, second.store];
      const results = await Promise.all(
        Array.from({ length: 60 }, (_, i) =>
          (stores[i % 2] as Store).append(
            batchOf(Array.from({ length: 1 + (i % 3) }, () => staleDraft(requestAt(clock.now())))),
          ),
        ),
      );
      const seqs = results.flatMap((result) => entriesOf(result).map(({ seq }) => seq));
      expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
      for (const result of results) {
        const own = entriesOf(result).map(({ seq }) => seq);
        expect(own).toEqual(own.map((_, i) => (own[0] as number) + i));
      }
      await store.catchUp();
      await second.store.catchUp();
      expect(store.head()).toEqual(second.store.head());
      expect(second.fold.snapshot()).toEqual(fold.snapshot());
    });

    test("what rides along goes with the next batch, or alone after a moment, and is not lost by closing", async () => {
      const riding = (request: RequestId): Promise<AppendResult> =>
        store.append({ ...batchOf([staleDraft(request)]), rides: true });
      const [first, second, third] = [requestAt(SUITE_START), requestAt(SUITE_START), requestAt(SUITE_START)];
      const size = store.head().size;
      const rider = riding(first);
      await append(batchOf([staleDraft(second)]));
      // In front of what it rode with, in the same group.
      expect((await store.newestEntries(2)).map(({ subject }) => subject)).toEqual([second, first]);
      expect(await rider).toMatchObject({ ok: true, entries: [{ seq: size }] });
      expect(await riding(third)).toMatchObject({ ok: true, entries: [{ seq: size + 2 }] });
      const last = riding(first);
      await store.close();
      expect(await last).toMatchObject({ ok: true, entries: [{ seq: size + 3 }] });
      const after = await openAnother();
      expect(after.store.head().size).toBe(size + 4);
    });

    test("a batch that frees a key by riding along makes room for the one behind it that takes it", async () => {
      const [first, second] = [requestAt(SUITE_START), requestAt(SUITE_START)];
      await append(batchOf([staleDraft(first, "", [{ key: "k", until: null }])], [], ["k"]));
      const free = store.append({
        ...batchOf([staleDraft(first, "", [{ key: "k", until: clock.now() }])]),
        rides: true,
      });
      const taken = await store.append(
        batchOf([staleDraft(second, "", [{ key: "k", until: null }])], [], ["k"]),
      );
      expect([(await free).ok, taken.ok]).toEqual([true, true]);
    });

    test("who asks hears that a batch was accepted before it is durable, and nothing of one that was not", async () => {
      const heard: string[] = [];
      const request = requestAt(SUITE_START);
      await Promise.all([
        store
          .append(batchOf([staleDraft(request)]), () => heard.push("accepted"))
          .then(() => heard.push("durable")),
        store
          .append(batchOf([staleDraft(request)], [{ subject: "policy", newest: 7 }]), () =>
            heard.push("wrong"),
          )
          .then(({ ok }) => heard.push(String(ok))),
      ]);
      expect(heard.filter((word) => word !== "false")).toEqual(["accepted", "durable"]);
      expect(heard).toContain("false");
    });

    test("marks how many entries of a batch follow (S1)", async () => {
      const entries = await append(batchOf([1, 2, 3].map(() => staleDraft(requestAt(clock.now())))));
      expect(entries.map(({ more }) => more)).toEqual([2, 1, undefined]);
    });

    test("time is the wall clock's, and never goes back (S2)", async () => {
      const timeOf = async (): Promise<string | undefined> =>
        (await append(batchOf([staleDraft(requestAt(SUITE_START))])))[0]?.time;
      clock.advance(1_500);
      expect(await timeOf()).toBe("2026-11-21T10:00:01.500Z");
      clock.setWall(SUITE_START - 3_600_000);
      expect(await timeOf()).toBe("2026-11-21T10:00:01.500Z");
      expect(store.head().newestTime).toBe(SUITE_START + 1_500);
    });

    test("a clock that jumps ahead writes nothing until it has held for 5 s", async () => {
      clock.setWall(SUITE_START + 3_600_000);
      const draft = staleDraft(requestAt(SUITE_START));
      await expect(store.append(batchOf([draft]))).rejects.toSatisfy((e) => isFault(e, "ENTRY_FROM_FUTURE"));
      expect(store.head().size).toBe(1);
      clock.advance(4_900);
      await expect(store.append(batchOf([draft]))).rejects.toSatisfy((e) => isFault(e, "ENTRY_FROM_FUTURE"));
      clock.advance(200);
      expect(await append(batchOf([draft]))).toHaveLength(1);
    });

    test("a jump that is taken back leaves no trace", async () => {
      clock.setWall(SUITE_START + 3_600_000);
      const draft = staleDraft(requestAt(SUITE_START));
      await expect(store.append(batchOf([draft]))).rejects.toSatisfy((e) => isFault(e, "ENTRY_FROM_FUTURE"));
      clock.setWall(SUITE_START + 10);
      const [entry] = await append(batchOf([draft]));
      expect(entry?.time).toBe("2026-11-21T10:00:00.010Z");
    });

    test("refuses a request whose id is from the future, and only it", async () => {
      const [young, fine] = [requestAt(SUITE_START + 60_000), requestAt(SUITE_START + 2_000)];
      const results = await Promise.allSettled([
        store.append(batchOf([staleDraft(young)])),
        store.append(batchOf([staleDraft(fine)])),
      ]);
      expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "ENTRY_FROM_FUTURE" } });
      expect(results[1]).toMatchObject({ status: "fulfilled", value: { ok: true } });
    });

    test("a batch whose subject has moved on conflicts, and says to where", async () => {
      const request = requestAt(clock.now());
      const [first] = await append(batchOf([staleDraft(request)], [{ subject: request, newest: null }]));
      const seq = first?.seq as number;
      expect(
        await store.append(batchOf([staleDraft(request)], [{ subject: request, newest: null }])),
      ).toEqual({
        ok: false,
        conflict: { kind: "subject", subject: request, newest: seq },
      });
      expect(
        await store.append(batchOf([staleDraft(request)], [{ subject: request, newest: seq }])),
      ).toMatchObject({ ok: true });
      expect(await store.append(batchOf([], [{ subject: request, newest: seq }]))).toMatchObject({
        ok: false,
      });
    });

    test("a closed subject conflicts with every expectation", async () => {
      const request = requestAt(clock.now());
      const [entry] = await append(batchOf([withdrawnDraft(request)]));
      for (const newest of [null, entry?.seq as number]) {
        const result = await store.append(batchOf([staleDraft(request)], [{ subject: request, newest }]));
        expect(result).toEqual({ ok: false, conflict: { kind: "subject", subject: request, newest: null } });
      }
    });

    test("of batches in one group with the same expectation one is written", async () => {
      const request = requestAt(clock.now());
      await append(batchOf([staleDraft(request)]));
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          store.append(batchOf([staleDraft(request, `try ${i}`)], [{ subject: request, newest: 1 }])),
        ),
      );
      expect(results.filter(({ ok }) => ok)).toHaveLength(1);
      expect(store.head().size).toBe(3);
    });

    test("of batches of several stores with the same expectation one is written", async () => {
      const request = requestAt(clock.now());
      await append(batchOf([staleDraft(request)]));
      const others = [await openAnother(), await openAnother()];
      const results = await Promise.all(
        [store, ...others.map((one) => one.store)].map((one) =>
          one.append(batchOf([staleDraft(request)], [{ subject: request, newest: 1 }])),
        ),
      );
      expect(results.filter(({ ok }) => ok)).toHaveLength(1);
    });

    test("a key that is held conflicts until it is free", async () => {
      const [first, second] = [requestAt(clock.now()), requestAt(clock.now())];
      const until = clock.now() + 1_000;
      await append(batchOf([staleDraft(first, "", [{ key: "call:1", until }])], [], ["call:1"]));
      const again = batchOf([staleDraft(second, "", [{ key: "call:1", until: null }])], [], ["call:1"]);
      expect(await store.append(again)).toEqual({
        ok: false,
        conflict: { kind: "key", key: "call:1", holder: first },
      });
      clock.advance(1_000);
      expect(await store.append(again)).toMatchObject({ ok: true });
      clock.advance(86_400_000);
      expect(await store.append(again)).toMatchObject({ ok: false, conflict: { holder: second } });
    });

    test("of batches in one group that take the same key one is written, and the others name it", async () => {
      const requests = Array.from({ length: 5 }, () => requestAt(clock.now()));
      const results = await Promise.all(
        requests.map((request) =>
          store.append(batchOf([staleDraft(request, "", [{ key: "k", until: null }])], [], ["k"])),
        ),
      );
      const winner = results.findIndex(({ ok }) => ok);
      for (const [i, result] of results.entries()) {
        if (i === winner) continue;
        expect(result).toEqual({ ok: false, conflict: { kind: "key", key: "k", holder: requests[winner] } });
      }
    });

    test("an entry of 64 KiB is written, one byte more refuses its batch alone", async () => {
      const request = requestAt(clock.now());
      const [probe] = await append(batchOf([staleDraft(request, "")]));
      const [, line] = await collect(store.lines(0));
      const room = MAX_ENTRY_BYTES - (line?.bytes.length as number);
      expect(probe?.seq).toBe(1);
      const results = await Promise.allSettled([
        store.append(batchOf([staleDraft(request, "x".repeat(room + 1)), staleDraft(request)])),
        store.append(batchOf([staleDraft(request, "x".repeat(room))])),
      ]);
      expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "ENTRY_TOO_LARGE" } });
      expect(results[1]).toMatchObject({ status: "fulfilled", value: { ok: true } });
      expect(store.head().size).toBe(3);
    });

    test("text of any language, quotes and lone surrogates read back as they were written", async () => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: "binary", maxLength: 200 }), async (text) => {
          const [entry] = await append(batchOf([staleDraft("policy", text)]));
          const lines = await collect(store.lines(entry?.seq as number));
          expect(JSON.parse(Buffer.from(lines[0]?.bytes ?? []).toString())).toEqual(entry);
          expect((entry as Entry<"request.stale">).data.message).toBe(text);
        }),
        { numRuns: 30, examples: [["\ud800 alone"]] },
      );
    });

    test("followers hear of every entry in order and once, their own and other processes' (S3)", async () => {
      const second = await openAnother();
      const heard: number[] = [];
      const seenInFold: boolean[] = [];
      const stop = second.store.follow((entries) => {
        for (const { seq } of entries) {
          heard.push(seq);
          seenInFold.push(second.fold.size > seq);
        }
      });
      for (let i = 0; i < 20; i += 1) {
        await Promise.all(
          [store, second.store].map((one) => one.append(batchOf([staleDraft(requestAt(clock.now()))]))),
        );
      }
      await until(() => heard.length >= 40);
      expect(heard).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      expect(seenInFold).not.toContain(false);
      stop();
      await append(batchOf([staleDraft(requestAt(clock.now()))]));
      await second.store.catchUp();
      expect(heard).toHaveLength(40);
    });

    test("a process that opens later has the same fold, head and bytes", async () => {
      for (let i = 0; i < 30; i += 1) {
        const request = requestAt(clock.now());
        await append(batchOf([staleDraft(request), ...(i % 2 === 0 ? [withdrawnDraft(request)] : [])]));
        clock.advance(7);
      }
      const later = await openAnother();
      expect(later.store.head()).toEqual(store.head());
      expect(later.fold.snapshot()).toEqual(fold.snapshot());
      expect(await collect(later.store.lines(0))).toEqual(await collect(store.lines(0)));
      await store.close();
      const after = await openAnother();
      expect(after.store.head()).toEqual(later.store.head());
      expect(after.fold.snapshot()).toEqual(later.fold.snapshot());
    });

    test("lines start where they are asked to and end at the head of that moment", async () => {
      await append(batchOf(Array.from({ length: 9 }, () => staleDraft(requestAt(clock.now())))));
      expect((await collect(store.lines(4))).map(({ seq }) => seq)).toEqual([4, 5, 6, 7, 8, 9]);
      expect(await collect(store.lines(10))).toEqual([]);
      const iterator = store.lines(9)[Symbol.asyncIterator]();
      await append(batchOf([staleDraft(requestAt(clock.now()))]));
      expect((await iterator.next()).value).toMatchObject({ seq: 9 });
      expect((await iterator.next()).done).toBe(true);
    });

    test("finds the entries of one request, oldest first, and none of another's", async () => {
      const requests: RequestId[] = [];
      for (let i = 0; i < 50; i += 1) {
        clock.advance(60_000);
        const request = requestAt(clock.now());
        requests.push(request);
        await append(batchOf([staleDraft(request, `see ${String(requests[i - 1])}`)]));
      }
      for (const request of [requests[0], requests[25], requests[49]] as RequestId[]) {
        clock.advance(1);
        const [late] = await append(batchOf([withdrawnDraft(request)]));
        const found = await collect(store.entriesOf(request));
        expect(found.map(({ entry }) => entry.kind)).toEqual(["request.stale", "request.withdrawn"]);
        expect(found.at(-1)?.entry).toEqual(late);
        expect(found.map(({ line }) => line.seq)).toEqual(found.map(({ entry }) => entry.seq));
      }
      expect(await collect(store.entriesOf(requestAt(SUITE_START)))).toEqual([]);
      expect(await collect(store.entriesOf("req_nonsense"))).toEqual([]);
    });

    test("gives the newest entries, newest first", async () => {
      await append(
        batchOf(Array.from({ length: 5 }, (_, i) => staleDraft("policy", `${i} ${"y".repeat(40_000)}`))),
      );
      expect((await store.newestEntries(3)).map(({ seq }) => seq)).toEqual([5, 4, 3]);
      expect((await store.newestEntries(99)).map(({ seq }) => seq)).toEqual([5, 4, 3, 2, 1, 0]);
      expect(await store.newestEntries(0)).toEqual([]);
    });

    test("root, inclusion and consistency proofs verify for any size (RFC 6962)", async () => {
      for (let left = 700; left > 0; left -= 70) {
        await append(batchOf(Array.from({ length: 70 }, () => staleDraft("policy"))));
      }
      const all = await leaves();
      const size = store.head().size;
      expect(store.head().root).toBe(`sha256:${toHex(rootOf(all))}`);
      const sizes = fc
        .tuple(fc.nat(size), fc.nat(size))
        .map(([a, b]) => (a < b ? [a, b] : [b, a]) as [number, number]);
      await fc.assert(
        fc.asyncProperty(sizes, fc.nat(), async ([small, large], index) => {
          const root = async (n: number): Promise<TreeHash> =>
            fromHex((await store.rootAt(n)).slice(7)) as TreeHash;
          expect(await store.rootAt(large)).toBe(`sha256:${toHex(rootOf(all.slice(0, large)))}`);
          const extend = (await store.consistencyProof(small, large)).map((hex) => fromHex(hex) as TreeHash);
          expect(verifyConsistency(small, large, await root(small), await root(large), extend)).toBe(true);
          if (large === 0) return;
          const at = index % large;
          const path = (await store.inclusionProof(at, large)).map((hex) => fromHex(hex) as TreeHash);
          expect(verifyInclusion(at, large, all[at] as TreeHash, path, await root(large))).toBe(true);
        }),
        { numRuns: 150 },
      );
      await expect(store.rootAt(size + 1)).rejects.toThrow(RangeError);
      await expect(store.inclusionProof(size, size)).rejects.toThrow(RangeError);
      await expect(store.consistencyProof(2, 1)).rejects.toThrow(RangeError);
    });

    test("the checkpoint is a note over the head under the key of entry 0", async () => {
      await append(batchOf([staleDraft("policy")]));
      const [line] = await collect(store.lines(0));
      const first = JSON.parse(Buffer.from(line?.bytes ?? []).toString()) as Entry<"log.opened">;
      const key = parseVerifierKey(first.data.key);
      if (!key.ok) throw new Error(key.error);
      const checkpoint = openCheckpoint(await store.checkpoint(), key.value);
      expect(checkpoint).toMatchObject({ ok: true, value: { size: 2, root: store.head().root } });
    });

    test("a closed store refuses to write", async () => {
      await store.close();
      await expect(store.append(batchOf([staleDraft("policy")]))).rejects.toSatisfy((e) =>
        isFault(e, "STORE_CLOSED"),
      );
    });

    test("closing waits for what was asked before", async () => {
      const pending = Array.from({ length: 10 }, () => store.append(batchOf([staleDraft("policy")])));
      await store.close();
      for (const result of await Promise.all(pending)) expect(result.ok).toBe(true);
    });

    blobSuite(() => store, openAnother);
  });

  test(`${name}: same drafts at the same times give the same bytes and root (L2)`, async () => {
    const bed = await make(GOLDEN_KEY);
    const clock = suiteClock();
    const store = await bed.open({ fold: countingFold(), clock, create: true });
    const request: RequestId = "req_01JD6QYZ00CQ4V5N7W8X9YZABC";
    const drafts = [staleDraft(request, "plain"), staleDraft("policy", 'ünï "quoted" \u2028 \ud83d\ude80')];
    for (let i = 0; i < 300; i += 1) {
      clock.advance(250);
      const keys = [{ key: `k${i}`, until: i % 2 === 0 ? null : SUITE_START }];
      const entries = i % 7 === 0 ? drafts : [staleDraft(request, `number ${i}`, keys)];
      expect((await store.append(batchOf(entries))).ok).toBe(true);
    }
    expect(store.head()).toMatchObject({ size: 344, root: GOLDEN_ROOT });
    const lines = (await collect(store.lines(337))).map(({ bytes }) => Buffer.from(bytes).toString());
    expect(lines.slice(0, 3)).toEqual(GOLDEN_LINES);
    await store.close();
    await bed.remove();
  });
}
