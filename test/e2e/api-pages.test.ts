import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ok } from "../../src/base/result.ts";
import { settlementBytes } from "../../src/execution/settlement.ts";
import { SETTLEMENT_NAMESPACE } from "../../src/execution/settlement.ts";
import type { ApiEnv } from "../../src/transport/http/actor.ts";
import type { Inquiring } from "../../src/transport/http/inquiry-routes.ts";
import type { Settling } from "../../src/transport/http/settlement-routes.ts";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";
import { rawHttp, type RawAnswer } from "../support/raw-http.ts";
import { callTool, ticketOf } from "../support/world.ts";

// The listener with everything mounted: pages with headers of their own, people's routes, and the parts that questions
// and settlements go to.

let api: ApiWorld;
const seen: unknown[] = [];
beforeAll(async () => {
  const pages = new Hono<ApiEnv>()
    .get("/", (c) => c.html(`<p>inbox of ${c.get("actor")?.kind ?? "nobody"}</p>`))
    .get("/sign-in", (c) => c.html("<p>sign in</p>"))
    .get("/assets/main-abc123.js", (c) =>
      c.body("1", 200, { "cache-control": "public, max-age=31536000, immutable" }),
    )
    .get("/styled", (c) => c.html("<p>x</p>", 200, { "content-security-policy": "default-src 'self'" }));
  const peopleRoutes = new Hono<ApiEnv>()
    .get("/session", (c) => c.json({ person: c.get("actor")?.kind ?? null }))
    .post("/session/passkey", (c) => c.json({ signed: "in" }))
    .get("/people", (c) => c.json({ kind: c.get("actor")?.kind ?? null }));
  const inquiries: Inquiring = {
    inquire: (request, asked) => {
      seen.push({ request, asked });
      return Promise.resolve(ok({ inquiry: "inq_1" }));
    },
    answer: (ticket, caller, answered) => {
      seen.push({ ticket, caller, answered });
      return api.world.home.gate.wait(ticket, caller, { signal: new AbortController().signal, holdMs: 0 });
    },
  };
  const settling: Settling = {
    draftSettlement: (request, choice) =>
      Promise.resolve({
        ...{ typ: "countersign.settlement", v: 1, log: api.world.home.store.logId, request },
        ...{ grant: "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV", outcome: choice.outcome, again: choice.again === true },
        ...{ message: choice.message, approver: choice.person, issued_at: new Date().toISOString() },
      }),
    settle: (statement, proof) => {
      seen.push({ statement, proof });
      return Promise.resolve(ok({ outcome: statement.outcome, again: null }));
    },
  };
  api = await openApiWorld({ api: { pages, peopleRoutes, inquiries, settling } });
});
afterAll(() => api.close());

const visit = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<RawAnswer> =>
  rawHttp({
    ...{ port: api.api.port, method, path },
    headers: { host: `localhost:${api.api.port}`, ...headers },
  });

describe("pages", () => {
  test("lead whoever has not signed in to the sign-in, and back to where they wanted to go", async () => {
    for (const path of ["/", "/requests/8K2M4Q?tab=log", "/nothing", "/sign-in/", "/assets/", "/enrol/x"]) {
      const answer = await visit(path);
      expect([path, answer.status]).toEqual([path, 303]);
      expect(answer.headers["location"]).toBe(`/sign-in?next=${encodeURIComponent(path)}`);
    }
    expect((await visit("/sign-in")).text).toContain("sign in");
    expect((await visit("/sign-in?next=%2F")).status).toBe(200);
    expect((await visit("/", { cookie: api.signedIn("ben").cookie })).text).toContain("inbox of session");
  });

  test("no way of writing a path leads past that", async () => {
    const ways = [
      "/assets/..",
      "/assets/../",
      "/assets/%2e%2e/",
      "/assets/%2e%2e",
      "/assets/..%2f",
      "/sign-in/../",
      "/sign-in/..",
      "/./",
      "//",
      "/%2e",
      "/sign-in%2f..",
      "/assets/a/../../",
    ];
    for (const way of ways) {
      const answer = await visit(way);
      expect([way, answer.text.includes("inbox of")]).toEqual([way, false]);
    }
  });

  test("set headers of their own where they have to, and have the strictest where they don't", async () => {
    const { cookie } = api.signedIn("ben");
    const styled = await visit("/styled", { cookie });
    expect(styled.headers["content-security-policy"]).toBe("default-src 'self'");
    const plain = await visit("/", { cookie });
    expect(plain.headers["content-security-policy"]).toContain("default-src 'none'");
    for (const answer of [styled, plain]) {
      expect(answer.headers).toMatchObject({
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cache-control": "no-store",
      });
    }
    expect((await visit("/assets/main-abc123.js")).headers["cache-control"]).toContain("immutable");
  });

  test("signing in needs no session, and our own Origin; other routes of people need one", async () => {
    const own = { origin: `http://localhost:${api.api.port}`, "content-type": "application/json" };
    expect((await visit("/api/v1/session")).json).toEqual({ person: null });
    expect((await visit("/api/v1/session/passkey", own, "POST")).json).toEqual({ signed: "in" });
    const without = await visit("/api/v1/session/passkey", { "content-type": "application/json" }, "POST");
    expect([without.status, without.json["code"]]).toEqual([403, "wrong_origin"]);
    expect((await visit("/api/v1/people")).status).toBe(401);
    expect((await visit("/api/v1/people/")).status).toBe(401);
    expect((await visit("/api/v1//session")).status).not.toBe(200);
    expect((await visit("/api/v1/people", { cookie: api.signedIn("ben").cookie })).json).toEqual({
      kind: "session",
    });
  });
});

describe("what other parts keep", () => {
  const held = async (text: string): Promise<string> =>
    ticketOf(await callTool(api.world.home, "write_note", { book: "ledger", text }));

  test("a person's question goes on with the session's word, the agent's answer as the token's principal", async () => {
    const ref = await held("inquiry");
    const ben = api.signedIn("ben");
    expect((await ben.post(`/requests/${ref}/inquiries`, { text: " why now? " })).json).toEqual({
      inquiry: "inq_1",
    });
    expect(seen.at(-1)).toMatchObject({
      request: ref,
      asked: { person: "ben", text: "why now?", proof: { kind: "session", channel: "console" } },
    });
    for (const text of ["", "   ", "x".repeat(2_001)])
      expect((await ben.post(`/requests/${ref}/inquiries`, { text })).code).toBe("bad_request");
    const stranger = await api
      .as("jenkins")
      .post(`/requests/${ref}/answers`, { inquiry: "inq_1", text: "because" });
    expect([stranger.status, stranger.code]).toEqual([404, "unknown_ticket"]);
    const before = seen.length;
    const answer = await api.as("claude").post(`/requests/${ref}/answers`, { inquiry: "inq_1", text: "now" });
    expect(answer.json["status"]).toBe("pending");
    expect(seen.slice(before)).toMatchObject([{ caller: { agent: "claude" }, answered: { text: "now" } }]);
  });

  test("a settlement is drafted, signed over its exact bytes, and goes to the request that it names", async () => {
    const [one, two] = [await held("settle one"), await held("settle two")];
    const local = api.as("local");
    const path = (ref: string): string => `/requests/${ref}/settlement`;
    const draft = await local.get(`${path(one)}?outcome=failed&again=true&message=looked&person=ben`);
    const { statement, sign } = draft.json as {
      statement: Parameters<typeof settlementBytes>[0];
      sign: { bytes: string; namespace: string };
    };
    expect(sign.namespace).toBe(SETTLEMENT_NAMESPACE);
    expect(Buffer.from(sign.bytes, "base64")).toEqual(Buffer.from(settlementBytes(statement)));
    const signature = api.world.keys["ben"]?.sign(settlementBytes(statement), SETTLEMENT_NAMESPACE);
    const proof = { kind: "sshsig", signature };
    expect((await local.post(path(two), { statement, proof })).code).toBe("other_question");
    const turned = { ...statement, outcome: "done", again: false };
    expect((await local.post(path(one), { statement: turned, proof })).code).toBe("invalid_signature");
    expect((await local.post(path(one), { statement: { ...statement, v: 2 }, proof })).code).toBe(
      "invalid_statement",
    );
    expect((await local.post(path(one), { statement, proof })).json).toEqual({
      outcome: "failed",
      again: null,
    });
    expect(seen.at(-1)).toMatchObject({ statement, proof: { kind: "sshsig", channel: "api" } });
    const both = await local.get(`${path(one)}?outcome=done&again=true&message=x&person=ben`);
    expect(both.code).toBe("bad_request");
  });
});

// Last: it leaves nothing for strangers of this address.
test("pages lead to the sign-in also while somebody else floods from the same address", async () => {
  for (let i = 0; i < 70; i += 1) await visit("/api/v1/requests");
  expect((await visit("/api/v1/requests")).status).toBe(429);
  expect((await visit("/")).status).toBe(303);
  expect((await visit("/sign-in")).status).toBe(200);
});
