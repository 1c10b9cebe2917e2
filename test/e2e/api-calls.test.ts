import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";

// Jobs and scripts ask over HTTP as agents ask over MCP: the same gate, the same people, the same replies.

let api: ApiWorld;
let clock: FakeClock;
beforeAll(async () => {
  clock = createFakeClock();
  api = await openApiWorld({ clock, steward: true });
});
afterAll(() => api.close());

let count = 0;
const note = (book: string, text = `note ${(count += 1)}`) => ({
  tool: "write_note",
  arguments: { book, text },
  justification: "the release needs it",
});
const approve = async (ref: string, ...people: string[]): Promise<void> => {
  for (const person of people) {
    const answer = await api
      .as("local")
      .post(`/requests/${ref}/decisions`, await api.decision(ref, person, "approve"));
    expect(answer.status).toBe(200);
  }
};

describe("a job", () => {
  test("is told at once what needs nobody, with what came of it", async () => {
    const answer = await api.as("jenkins").post("/requests?wait=10", note("log", "free"));
    expect(answer.json).toMatchObject({ status: "done", output: { book: "log", bytes: 4 } });
    expect(answer.status).toBe(200);
    const request = (await api.as("local").get(`/requests/${answer.json["request"] as string}`)).json;
    expect(request["request"]).toMatchObject({ principal: "ci", agent: "robot", phase: "done" });
  });

  test("gets a place to wait at, waits there while people decide, and its change runs once", async () => {
    const asked = await api.as("jenkins").post("/requests", note("ledger"));
    expect(asked.status).toBe(202);
    const ticket = asked.json["ticket"] as string;
    expect(asked.headers["location"]).toBe(`/api/v1/requests/${ticket}/outcome`);
    expect(Number(asked.headers["retry-after"])).toBeGreaterThan(0);
    // P4: before a grant nothing of the preview leaves.
    expect(asked.text).not.toContain("characters into");
    const runs = api.world.notes.runs.length;
    const waiting = api.as("jenkins").get(`/requests/${ticket}/outcome?wait=20`);
    await approve(ticket, "ben");
    expect((await waiting).json).toMatchObject({ status: "done", request: ticket });
    expect(api.world.notes.runs.length).toBe(runs + 1);
    expect((await api.as("jenkins").get(`/requests/${ticket}/outcome`)).json).toMatchObject({
      status: "done",
    });
    const shown = (await api.as("local").get(`/requests/${ticket}`)).json;
    expect((shown["timeline"] as { what: string }[]).map(({ what }) => what)).toEqual([
      "asked for write_note",
      "previewed",
      expect.stringMatching(/^people asked, code /),
      "approved",
      "enough approvals",
      expect.stringMatching(/^may run until /),
      "about to run",
      "running",
      "outcome: done",
    ]);
  });

  test("that is started again with its key asks nothing twice, also after a restart, and runs nothing twice", async () => {
    const call = note("ledger");
    const key = { "idempotency-key": "deploy-1234" };
    const first = await api.as("jenkins").post("/requests", call, key);
    const ticket = first.json["ticket"] as string;
    const again = await Promise.all([
      api.as("jenkins").post("/requests", call, key),
      api.as("jenkins").post("/requests", { ...call, call_id: "deploy-1234" }),
    ]);
    for (const answer of again) expect(answer.json["ticket"]).toBe(ticket);
    await approve(ticket, "ben");
    await api.as("jenkins").get(`/requests/${ticket}/outcome?wait=20`);
    const runs = api.world.notes.runs.length;
    // Another process over the same home knows only what the log says.
    const second = await api.world.open();
    const reply = await second.gate.call(
      {
        tool: call.tool,
        arguments: { ...call.arguments, justification: call.justification },
        caller: { principal: { kind: "named", id: "ci" }, agent: "robot", transport: "http", client: null },
        callId: "deploy-1234",
      },
      { signal: new AbortController().signal, holdMs: 0 },
    );
    expect(reply).toMatchObject({ status: "done", request: ticket });
    const done = await api.as("jenkins").post("/requests", call, key);
    expect(done.json).toMatchObject({ status: "done", request: ticket });
    expect(done.json["repeats"]).toBeTypeOf("string");
    expect(api.world.notes.runs.length).toBe(runs);
  });

  test("that uses a key for something else is told so, and somebody else's key is nobody's business", async () => {
    const key = { "idempotency-key": "one-key" };
    const first = await api.as("jenkins").post("/requests", note("ledger"), key);
    const other = await api.as("jenkins").post("/requests", note("ledger"), key);
    expect([other.status, other.code]).toEqual([422, "key_reused"]);
    expect(other.text).not.toContain("note ");
    const theirs = await api.as("claude").post("/requests", note("ledger"), key);
    expect(theirs.status).toBe(202);
    expect(theirs.json["ticket"]).not.toBe(first.json["ticket"]);
    const both = await api.as("jenkins").post("/requests", { ...note("ledger"), call_id: "a" }, key);
    expect(both.code).toBe("bad_request");
  });

  test("learns nothing of another principal's requests, by id, prefix or code", async () => {
    const asked = (await api.as("claude").post("/requests", note("ledger"))).json;
    const ticket = asked["ticket"] as string;
    const nothing = await api.as("jenkins").get("/requests/req_01ARZ3NDEKTSV4RRFFQ69G5FAV/outcome");
    for (const ref of [ticket, ticket.slice(0, 20), asked["code"] as string]) {
      for (const answer of [
        await api.as("jenkins").get(`/requests/${ref}/outcome`),
        await api.as("jenkins").post(`/requests/${ref}/withdraw`, {}),
      ]) {
        expect([answer.status, answer.text]).toEqual([404, nothing.text]);
      }
    }
    expect((await api.as("claude").get(`/requests/${ticket}/outcome`)).json["status"]).toBe("pending");
  });

  test.each<[string, object, number, string]>([
    ["a tool that does not exist", { tool: "drop_database", arguments: {} }, 422, "unknown_tool"],
    [
      "arguments that the tool does not take",
      { tool: "write_note", arguments: { book: 7 } },
      422,
      "invalid_arguments",
    ],
    ["a call with more in it", { tool: "write_note", approve: true }, 400, "bad_request"],
    [
      "a justification in both places",
      { ...{ tool: "write_note", justification: "a" }, arguments: { justification: "b" } },
      400,
      "bad_request",
    ],
  ])("%s is a problem with the next step", async (_what, body, status, code) => {
    const answer = await api.as("jenkins").post("/requests", body);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.json["hint"]).toBeTypeOf("string");
  });

  test("a policy's deny and a person's deny are outcomes of the request, not errors of the call", async () => {
    const denied = await api.as("jenkins").post("/requests", note("ledger", "forbidden words"));
    expect(denied.status).toBe(200);
    expect(denied.json).toMatchObject({ status: "refused", code: "denied_by_policy", deniedBy: "policy" });
    const asked = (await api.as("jenkins").post("/requests", note("ledger"))).json;
    const ref = asked["ticket"] as string;
    await api
      .as("local")
      .post(`/requests/${ref}/decisions`, await api.decision(ref, "chi", "deny", "&reason=not+today"));
    const told = await api.as("jenkins").get(`/requests/${ref}/outcome?wait=5`);
    expect(told.json).toMatchObject({ status: "refused", deniedBy: "person", reason: "not today" });
  });

  test("takes its request back, and a person takes back what their own agent asked for", async () => {
    const one = (await api.as("jenkins").post("/requests", note("ledger"))).json["ticket"] as string;
    const back = await api.as("jenkins").post(`/requests/${one}/withdraw`, { reason: "wrong branch" });
    expect(back.json).toMatchObject({ status: "refused", code: "withdrawn" });
    const two = (await api.as("claude").post("/requests", note("ledger"))).json["ticket"] as string;
    const byBen = await api.signedIn("ben").post(`/requests/${two}/withdraw`, {});
    expect(byBen.status).toBe(404);
    const byAna = await api.signedIn("ana").post(`/requests/${two}/withdraw`, {});
    expect(byAna.json).toMatchObject({ status: "refused", code: "withdrawn" });
    const again = await api.as("jenkins").post(`/requests/${one}/withdraw`, {});
    expect(again.json).toMatchObject({ code: "withdrawn" });
  });

  test("that goes away while it waits withdraws nothing", async () => {
    const gone = new AbortController();
    const ticket = (await api.as("jenkins").post("/requests", note("ledger"))).json["ticket"] as string;
    const waiting = fetch(`${api.url}/api/v1/requests/${ticket}/outcome?wait=30`, {
      headers: { authorization: `Bearer ${api.tokens.jenkins}` },
      signal: gone.signal,
    }).catch(() => "gone");
    await new Promise((resolve) => setTimeout(resolve, 200));
    gone.abort();
    expect(await waiting).toBe("gone");
    await approve(ticket, "ben");
    const told = await api.as("jenkins").get(`/requests/${ticket}/outcome?wait=20`);
    expect(told.json).toMatchObject({ status: "done" });
  });
});

describe("time", () => {
  test("nobody answers: the request expires, and every door says so (C5)", async () => {
    const ticket = (await api.as("jenkins").post("/requests", note("ledger"))).json["ticket"] as string;
    const late = (await api.decision(ticket, "ben", "approve")) as object;
    clock.advance(31 * 60_000);
    const told = await api.as("jenkins").get(`/requests/${ticket}/outcome?wait=10`);
    expect(told.json).toMatchObject({ status: "refused", code: "expired" });
    const shown = (await api.signedIn("ben").get(`/requests/${ticket}`)).json;
    expect(shown).toMatchObject({
      state: "expired",
      can: { approve: { ok: false, code: "already_settled" } },
    });
    expect((shown["timeline"] as { what: string }[]).at(-1)?.what).toContain("expired");
    const answer = await api.as("local").post(`/requests/${ticket}/decisions`, late);
    expect([answer.status, answer.code]).toEqual([409, "already_settled"]);
    const log = await api.as("local").get(`/log?subject=${ticket}&kind=request.expired`);
    expect(log.json["entries"]).toHaveLength(1);
  });

  test("an approval is taken back before the grant, and the same approval never counts again", async () => {
    const ticket = (await api.as("jenkins").post("/requests", note("safe"))).json["ticket"] as string;
    const ben = await api.decision(ticket, "ben", "approve");
    const local = api.as("local");
    await local.post(`/requests/${ticket}/decisions`, ben);
    const back = await local.post(
      `/requests/${ticket}/decisions`,
      await api.decision(ticket, "ben", "take_back"),
    );
    expect(back.json).toMatchObject({ state: "taken_back", quorum: { clauses: [{ missing: 2 }] } });
    const replay = await local.post(`/requests/${ticket}/decisions`, ben);
    expect([replay.status, replay.code]).toEqual([409, "taken_back"]);
    await approve(ticket, "chi");
    expect((await local.get(`/requests/${ticket}`)).json["state"]).toBe("held");
    await approve(ticket, "dee");
    expect((await api.as("jenkins").get(`/requests/${ticket}/outcome?wait=20`)).json["status"]).toBe("done");
  });

  test("fifty deciders at once settle it exactly once, and each gets an answer", async () => {
    const ticket = (await api.as("jenkins").post("/requests", note("safe"))).json["ticket"] as string;
    const bodies = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        api.decision(ticket, ["ben", "chi", "dee", "ana", "ben"][i % 5] ?? "ben", "approve"),
      ),
    );
    const answers = await Promise.all(
      bodies.map((body) => api.as("local").post(`/requests/${ticket}/decisions`, body)),
    );
    expect(answers.filter((answer) => answer.json["state"] === "granted")).toHaveLength(1);
    for (const answer of answers) expect([200, 403, 409]).toContain(answer.status);
    expect((await api.as("jenkins").get(`/requests/${ticket}/outcome?wait=20`)).json["status"]).toBe("done");
    const kinds = (await api.world.home.requests.history(ticket as never)).map((entry) => entry.kind);
    for (const kind of ["consent.settled", "grant.minted", "execution.dispatched"])
      expect(kinds.filter((one) => one === kind)).toHaveLength(1);
  });
});
