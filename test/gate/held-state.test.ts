import { afterEach, describe, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { decodeEntry } from "../../src/log/encode.ts";
import type { Entry } from "../../src/log/entry.ts";
import { requestsWithCode } from "../../src/consent/consents.ts";
import { createHomeFold, type HomeFold } from "../../src/gate/state.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// Held requests are kept packed. Does anybody who looks at one, live, after a replay or from a snapshot, see another
// request than the entries tell of?

let world: World;
afterEach(() => world.close());

async function entriesOf(home: World["home"]): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const { seq, bytes } of home.store.lines(0)) {
    const decoded = decodeEntry(Buffer.from(bytes).toString("utf8"), seq);
    if (decoded.ok) entries.push(decoded.value);
  }
  return entries;
}

/** Everything of the open requests that the gate, the desk and people can look at. */
const seen = ({ state }: HomeFold): unknown => ({
  requests: Array.from(state.requests.open.values(), (record) => ({
    ...{ id: record.id, phase: record.phase, code: record.code, newestSeq: record.newestSeq },
    ...{ receivedAt: record.receivedAt, updatedAt: record.updatedAt },
    ...{ received: record.received, planned: record.planned, keys: record.keys },
  })),
  openBy: [...state.requests.openBy],
  consents: Array.from(state.consents.byRequest.values(), (consent) => ({
    ...{ request: consent.request, digest: consent.digest, code: consent.code, question: consent.question },
    ...{
      requirement: consent.requirement,
      requester: consent.requester,
      askedAt: consent.askedAt,
      deadline: consent.deadline,
    },
    ...{ decisions: consent.decisions, escalated: consent.escalated, reminded: consent.reminded },
    ...{ inquiries: consent.inquiries, settled: consent.settled },
  })),
  byDigest: [...state.consents.byDigest],
  byCode: [...state.consents.byCode],
});

const replayed = (entries: readonly Entry[]): HomeFold => {
  const fold = createHomeFold();
  for (const entry of entries) fold.apply(entry);
  return fold;
};

const restored = (from: HomeFold): HomeFold => {
  const fold = createHomeFold();
  fold.restore(JSON.parse(JSON.stringify(from.snapshot())) as never);
  return fold;
};

describe("held requests in memory", () => {
  test("are what their entries say, live, replayed and from a snapshot", async () => {
    world = await makeWorld();
    const { home } = world;
    for (let i = 0; i < 3; i += 1) {
      ticketOf(await callTool(home, "write_note", { book: "ledger", text: `é ${i}` }, { callId: `c${i}` }));
    }
    const vault = ticketOf(
      await callTool(home, "write_note", { book: "safe", text: "two" }, { reasoning: { goal: "a reason" } }),
    );
    await decide(world, home, vault, "ben");
    await home.desk.inquire(vault as RequestId, {
      person: "dee",
      text: "why the safe?",
      proof: { kind: "account", account: "dee@test", channel: "cli" },
    });
    const entries = await entriesOf(home);
    for (const { kind, subject, data } of entries) {
      const record = home.fold.state.requests.open.get(subject as never);
      const consent = home.fold.state.consents.byRequest.get(subject as never);
      if (kind === "request.received") expect(record?.received).toEqual(data);
      if (kind === "request.planned") expect(record?.planned).toEqual(data);
      if (kind === "consent.asked") {
        expect({ question: consent?.question, requirement: consent?.requirement }).toEqual({
          question: data.question,
          requirement: data.requirement,
        });
      }
    }
    expect(home.fold.state.requests.open.size).toBe(4);
    const live = seen(home.fold);
    expect(seen(replayed(entries))).toEqual(live);
    expect(seen(restored(home.fold))).toEqual(live);
    expect(seen(restored(restored(home.fold)))).toEqual(live);
  });

  test("go on from a snapshot as they would have without one", async () => {
    world = await makeWorld();
    const { home } = world;
    const vault = ticketOf(await callTool(home, "write_note", { book: "safe", text: "two" }));
    await decide(world, home, vault, "ben");
    const before = await entriesOf(home);
    await decide(world, home, vault, "ben", "take_back");
    await decide(world, home, vault, "chi", "deny");
    const all = await entriesOf(home);
    const fold = restored(replayed(before));
    for (const entry of all.slice(before.length)) fold.apply(entry);
    expect(seen(fold)).toEqual(seen(home.fold));
    expect(fold.state.consents.byRequest.size).toBe(0);
  });

  test("in a snapshot are not changed by what happens while it is written", async () => {
    world = await makeWorld();
    const { home } = world;
    await callTool(home, "write_note", { book: "log", text: "free" }, { holdMs: 5_000 });
    const vault = ticketOf(await callTool(home, "write_note", { book: "safe", text: "two" }));
    await decide(world, home, vault, "ben");
    await home.desk.inquire(vault as RequestId, {
      person: "dee",
      text: "why the safe?",
      proof: { kind: "account", account: "dee@test", channel: "cli" },
    });
    const before = (await entriesOf(home)).length;
    const [inquiry] = home.fold.state.consents.byRequest.get(vault as RequestId)?.inquiries ?? [];
    await home.gate.answer(vault, CALLER, { inquiry: inquiry?.id ?? "", text: "because" });
    await decide(world, home, vault, "ben", "take_back");
    await decide(world, home, vault, "ben");
    await decide(world, home, vault, "dee");
    const all = await entriesOf(home);
    for (let size = 1; size < all.length; size += 1) {
      const fold = replayed(all.slice(0, size));
      const snapshot = fold.snapshot();
      const text = JSON.stringify(snapshot);
      for (const entry of all.slice(size)) fold.apply(entry);
      expect(JSON.stringify(snapshot)).toBe(text);
    }
    expect(all.length).toBeGreaterThan(before + 4);
  });

  test("are listed as each would be opened", async () => {
    world = await makeWorld();
    const { home } = world;
    for (const book of ["ledger", "safe", "ledger"]) {
      ticketOf(await callTool(home, "write_note", { book, text: `${book} ${Math.random()}` }));
    }
    const vault = ticketOf(await callTool(home, "write_note", { book: "safe", text: "two" }));
    await decide(world, home, vault, "ben");
    const listed = home.desk.pending();
    expect(listed).toHaveLength(4);
    for (const line of listed) {
      const { request, code, digest, question, requirement, requester, summary, deadline } = line;
      const { quorum, eligible } = line;
      const rest = { request, code, digest, question, requirement, requester, summary, deadline };
      expect({ ...rest, quorum, eligible }).toEqual(home.desk.find(request));
      expect(question.requester).toEqual(requester);
    }
    const ids = listed.map(({ request }) => request).sort();
    expect(home.requests.list(10).map(({ id }) => id)).toEqual([...ids].reverse());
    expect(home.requests.list(10, (id) => id === vault).map(({ id }) => id)).toEqual([vault]);
    const first = await home.requests.page({ limit: 3, cursor: null, fits: () => true, openOnly: true });
    expect(first.requests.map(({ id }) => id)).toEqual([...ids].reverse().slice(0, 3));
    const page = { limit: 3, cursor: first.next, fits: () => true, openOnly: true };
    expect((await home.requests.page(page)).requests.map(({ id }) => id)).toEqual(ids.slice(0, 1));
  });

  test("a take-back changes no list that somebody holds", async () => {
    world = await makeWorld();
    const { home } = world;
    const vault = ticketOf(await callTool(home, "write_note", { book: "safe", text: "two" }));
    await decide(world, home, vault, "ben");
    const consent = home.fold.state.consents.byRequest.get(vault as never);
    const held = consent?.decisions;
    await decide(world, home, vault, "ben", "take_back");
    expect(held?.map(({ takenBack }) => takenBack)).toEqual([false]);
    expect(consent?.decisions.map(({ takenBack }) => takenBack)).toEqual([true, false]);
  });

  test("that share a code by chance are told apart until one is over", () => {
    const fold = createHomeFold();
    const asked = (n: number) => ({
      requestId: `req_01J${"0".repeat(22)}${n}` as const,
      digest: `sha256:${String(n).repeat(64)}` as const,
    });
    const apply = (subject: string, kind: string, data: unknown): void =>
      fold.apply({
        ...{ v: 1, seq: fold.size, time: "2026-11-22T10:00:00.000Z", kind, subject, policy: null, data },
      } as never);
    const ask = (n: number): void => {
      const { requestId, digest } = asked(n);
      const requester = { principal: { kind: "person", id: "ana" }, agent: "claude", chain: [], owners: [] };
      const times = { asked_at: "2026-11-22T10:00:00.000Z", deadline: "2026-11-22T11:00:00.000Z" };
      const question = { requester, ...times };
      apply(requestId, "consent.asked", { question, digest, code: "8K2M4Q", requirement: { clauses: [] } });
    };
    const sharers = (): readonly string[] => requestsWithCode(fold.state.consents, "8K2M4Q");
    for (const n of [1, 2, 3]) ask(n);
    expect(sharers()).toEqual([1, 2, 3].map((n) => asked(n).requestId));
    apply(asked(1).requestId, "request.withdrawn", { by: "ana", reason: null });
    apply(asked(3).requestId, "request.withdrawn", { by: "ana", reason: null });
    expect(sharers()).toEqual([asked(2).requestId]);
    apply(asked(2).requestId, "request.withdrawn", { by: "ana", reason: null });
    expect(sharers()).toEqual([]);
    expect(fold.state.consents.byCode.size).toBe(0);
  });
});
