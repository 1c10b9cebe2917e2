import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";
import { callTool, ticketOf } from "../support/world.ts";

// What people and programs read: listings that never cost more the longer the log is, the log itself, the policy.

let api: ApiWorld;
beforeAll(async () => {
  api = await openApiWorld({
    steward: true,
    limits: { heldPerMinute: 100_000, previewsPerHour: 100_000, readsPerMinute: 100_000, openRequests: 500 },
  });
});
afterAll(() => api.close());

interface Listed {
  readonly requests: { readonly id: string; readonly phase: string; readonly summary: string | null }[];
  readonly next: string | null;
  readonly truncated: boolean;
}
const list = async (query: string, who = api.as("local")): Promise<Listed> =>
  (await who.get(`/requests${query}`)).json as unknown as Listed;

describe("requests", () => {
  test("are filtered, searched and paged without missing or repeating one", async () => {
    const made: string[] = [];
    for (let i = 0; i < 25; i += 1) {
      const book = i % 5 === 0 ? "safe" : i % 5 === 1 ? "ledger" : "log";
      const text = i === 7 ? "needle" : `n${i}`;
      const reply = await callTool(
        api.world.home,
        "write_note",
        { book, text },
        { holdMs: 5_000 * Number(book === "log") },
      );
      made.push(reply.status === "pending" ? reply.ticket : (reply as { request: string }).request);
    }
    const all: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? "" : `&cursor=${cursor}`;
      const page: Listed = await list(`?limit=7${query}`);
      all.push(...page.requests.map(({ id }) => id));
      cursor = page.next;
    } while (cursor !== null);
    expect(all).toEqual(made.toReversed());
    const held = await list("?phase=held&limit=100");
    expect(held.requests).toHaveLength(10);
    expect(held.next).toBeNull();
    expect((await list("?phase=held,done&tool=write_note&limit=100")).requests).toHaveLength(25);
    expect((await list("?tool=other")).requests).toEqual([]);
    expect((await list("?q=INTO%20SAFE")).requests).toHaveLength(5);
    expect((await list(`?q=${made[3] ?? ""}`)).requests.map(({ id }) => id)).toEqual([made[3]]);
    for (const query of ["?phase=asleep", "?mine=perhaps", "?limit=2.5", "?extra=1"]) {
      expect((await api.as("local").get(`/requests${query}`)).code).toBe("bad_request");
    }
    expect((await api.as("local").get("/requests?cursor=../../etc")).code).toBe("cursor_invalid");
  });

  test("mine are those that wait for me, and of a token those that it asked for", async () => {
    const ben = await list("?mine=true&limit=100", api.signedIn("ben"));
    expect(ben.requests).toHaveLength(10);
    const dee = await list("?mine=true&limit=100", api.signedIn("dee"));
    expect(dee.requests.map(({ summary }) => summary)).toEqual(
      Array(5).fill(expect.stringContaining("safe")),
    );
    expect((await list("?mine=true", api.signedIn("ana"))).requests).toEqual([]);
    const [first] = dee.requests;
    await api
      .as("local")
      .post(`/requests/${first?.id ?? ""}/decisions`, await api.decision(first?.id ?? "", "dee", "approve"));
    expect((await list("?mine=true&limit=100", api.signedIn("dee"))).requests).toHaveLength(4);
    expect((await list("?mine=true")).requests).toEqual([]);
  });

  test("older than memory are read from the log, a bounded piece a call", async () => {
    // Twelve hundred that ended: two hundred more than memory keeps.
    const { home } = api.world;
    for (let i = 0; i < 1_200; i += 100) {
      const texts = Array.from({ length: 100 }, (_, j) => `forbidden ${i + j}`);
      await Promise.all(texts.map((text) => callTool(home, "write_note", { book: "log", text })));
    }
    const seen = new Set<string>();
    let cursor: string | null = null;
    let calls = 0;
    do {
      const query: string = cursor === null ? "" : `&cursor=${cursor}`;
      const page: Listed = await list(`?limit=400${query}`);
      for (const { id } of page.requests) {
        expect(seen.has(id)).toBe(false);
        seen.add(id);
      }
      cursor = page.next;
      calls += 1;
    } while (cursor !== null && calls < 50);
    expect(seen.size).toBe(1_225);
    const started = performance.now();
    await list("?limit=50");
    expect(performance.now() - started).toBeLessThan(300);
  });
});

describe("the log", () => {
  test("is read newest first, by kind, subject and words, and says where it stopped", async () => {
    const local = api.as("local");
    const first = await local.get("/log?limit=3");
    const { entries, size, next } = first.json as { entries: { seq: number }[]; size: number; next: number };
    expect(entries.map(({ seq }) => seq)).toEqual([size - 1, size - 2, size - 3]);
    const second = (await local.get(`/log?limit=3&before=${next}`)).json as { entries: { seq: number }[] };
    expect(second.entries.map(({ seq }) => seq)).toEqual([size - 4, size - 5, size - 6]);
    const asked = await local.get("/log?kind=consent.asked&limit=500");
    expect(asked.json["entries"]).toHaveLength(10);
    expect(asked.json).toMatchObject({ truncated: false, next: null });
    const words = await local.get("/log?kind=request.planned&q=characters%20INTO%20safe&limit=500");
    expect(words.json["entries"]).toHaveLength(5);
    expect((await local.get("/log?kind=no.such")).code).toBe("bad_request");
    expect((await local.get("/log?subject=policy&limit=10")).json["entries"]).toHaveLength(1);
    // A subject that quotes its way out of the needle finds nothing.
    const quoted = encodeURIComponent('policy","x":"');
    expect((await local.get(`/log?subject=${quoted}`)).json["entries"]).toEqual([]);
  });

  test("gives its head, and says that nobody verifies it where nobody does", async () => {
    const head = (await api.as("auditor").get("/log/checkpoint")).json;
    expect(String(head["checkpoint"]).split("\n")[1]).toBe(String(head["size"]));
    const verification = await api.as("auditor").get("/log/verification");
    expect([verification.status, verification.code]).toEqual([501, "not_served"]);
  });
});

describe("the policy", () => {
  const edit = async (change: (text: string) => string): Promise<void> => {
    const file = api.world.settings.policyFile;
    await writeFile(file, change(await readFile(file, "utf8")));
  };

  test("is shown as it runs, with its text byte for byte, and explains a call", async () => {
    const shown = (await api.as("auditor").get("/policy")).json;
    expect(shown["text"]).toBe(await readFile(api.world.settings.policyFile, "utf8"));
    expect(shown).toMatchObject({
      adopted: { mode: "first", by: [] },
      adopt: "signed",
      policyChange: { by: ["security", "sre"], quorum: 2, assurance: "A2" },
    });
    const call = { tool: "write_note", environment: "vault", agent: "claude", args: { text: "x" } };
    const explained = (await api.as("auditor").post("/policy/explain", { call })).json;
    expect(explained).toMatchObject({ verdict: { verdict: "hold" } });
    const candidates = explained["candidates"] as { id: string; outcome: string }[];
    expect(candidates.find(({ id }) => id === "vault-notes-need-two")?.outcome).toBe("matched");
    const bad = await api.as("auditor").post("/policy/explain", { call: { tol: "x" } });
    expect([bad.code, bad.json["detail"]]).toEqual(["bad_request", expect.stringContaining("/call/")]);
  });

  test("is adopted by people who sign one after the other, here or at a terminal; the history keeps each text", async () => {
    const before = (await api.as("local").get("/policy")).json["adopted"] as { revision: string };
    expect((await api.as("local").get("/policy/proposal")).json).toMatchObject({
      changed: false,
      missing: 0,
    });
    await edit((text) =>
      text.replace("quorum: 2, assurance: A2, within: 10m", "quorum: 1, assurance: A2, within: 10m"),
    );
    const proposal = (await api.as("local").get("/policy/proposal")).json;
    expect(proposal).toMatchObject({ running: before.revision, changed: true, missing: 2, endorsements: [] });
    expect((proposal["diff"] as { weaker: boolean }[]).some(({ weaker }) => weaker)).toBe(true);

    const local = api.as("local");
    const outsider = api.signedIn("ben");
    const { statement } = (await outsider.get("/policy/draft")).json;
    const fake = await local.post("/policy/endorsements", { statement, proof: { kind: "session" } });
    expect([fake.status, fake.code]).toEqual([403, "needs_session"]);
    const ben = await outsider.post("/policy/endorsements", { statement, proof: { kind: "session" } });
    expect(ben.json).toEqual({ state: "endorsed", missing: 1 });
    expect((await local.get("/policy/proposal")).json).toMatchObject({
      missing: 1,
      endorsements: [{ person: "ben", assurance: "A2", counts: true }],
    });
    const dee = (await api.adoption("dee")) as { statement: object; proof: object };
    const turned = { ...dee, statement: { ...dee.statement, approver: "eva" } };
    expect((await local.post("/policy/endorsements", turned)).code).toBe("invalid_signature");
    const other = { ...dee, statement: { ...dee.statement, typ: "countersign.decision" } };
    expect((await local.post("/policy/endorsements", other)).code).toBe("invalid_statement");
    const adopted = await local.post("/policy/endorsements", dee);
    expect(adopted.json["state"]).toBe("adopted");

    const history = (await local.get("/policy/history?limit=1")).json as {
      revisions: { seq: number; by: string[]; from: { policy: string } }[];
      next: number;
    };
    expect(history.revisions[0]).toMatchObject({ mode: "signed", from: { policy: before.revision } });
    expect(history.revisions[0]?.by.toSorted()).toEqual(["ben", "dee"]);
    const older = (await local.get(`/policy/history?before=${history.next}`)).json as {
      revisions: { seq: number; revision: string }[];
      next: null;
    };
    expect(older.revisions).toMatchObject([{ revision: before.revision, mode: "first" }]);
    const text = (await local.get(`/policy/history/${older.revisions[0]?.seq ?? ""}`)).json["text"];
    expect(text).toContain("quorum: 2, assurance: A2, within: 10m");
    expect((await local.get("/policy/history/3")).code).toBe("not_found");
    const log = await local.get("/log?kind=policy.endorsed,policy.adopted");
    expect((log.json["entries"] as { kind: string }[]).map(({ kind }) => kind)).toEqual([
      "policy.adopted",
      "policy.endorsed",
      "policy.adopted",
    ]);
  });

  test("a file that does not load is said with its places, and can't be signed", async () => {
    await edit((text) => text.replace("verdict: allow", "verdict: alow"));
    const proposal = (await api.as("local").get("/policy/proposal")).json;
    expect(proposal).toMatchObject({ revision: null });
    expect((proposal["errors"] as string[])[0]).toMatch(/policy\.yaml:\d+:\d+ .*did you mean allow/);
    const draft = await api.as("local").get("/policy/draft?person=ben");
    expect([draft.status, draft.code]).toEqual([422, "policy_invalid"]);
  });
});

test("a request that the desk's further parts would serve says that they are not there", async () => {
  const ticket = ticketOf(await callTool(api.world.home, "write_note", { book: "ledger", text: "parts" }));
  const ben = api.signedIn("ben");
  expect((await ben.post(`/requests/${ticket}/inquiries`, { text: "why now?" })).code).toBe("not_served");
  const settlement = await ben.get(`/requests/${ticket}/settlement?outcome=done&message=seen`);
  expect(settlement.code).toBe("not_served");
});
