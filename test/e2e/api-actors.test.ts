import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { openApiWorld, type ApiWorld } from "../support/api-world.ts";
import { rawHttp, rawTcp, type RawAnswer } from "../support/raw-http.ts";
import { callTool, ticketOf } from "../support/world.ts";

// Who may come in, as whom, and what they may do: tokens with scopes, sessions of people, and everybody who pretends.

let api: ApiWorld;
let clock: FakeClock;
beforeAll(async () => {
  clock = createFakeClock();
  api = await openApiWorld({ clock, api: { timeouts: { headersMs: 1_500, requestMs: 2_000 } } });
});
afterAll(() => api.close());

let count = 0;
const held = async (): Promise<string> => {
  count += 1;
  const reply = await callTool(api.world.home, "write_note", { book: "ledger", text: `actors ${count}` });
  return ticketOf(reply);
};
const stateOf = async (ref: string): Promise<unknown> =>
  (await api.as("local").get(`/requests/${ref}`)).json["state"];
const raw = (options: Omit<Parameters<typeof rawHttp>[0], "port">): Promise<RawAnswer> =>
  rawHttp({ port: api.api.port, ...options });

describe("a token", () => {
  test("may do what its scopes say, and a problem names the one that it lacks", async () => {
    const ref = await held();
    const body = await api.decision(ref, "ben", "approve");
    const cases: [Parameters<ApiWorld["as"]>[0], string, string, string][] = [
      ["reader", "GET", "/log", "log:read"],
      ["reader", "GET", "/policy", "policy:read"],
      ["reader", "POST", `/requests/${ref}/decisions`, "statements:write"],
      ["reader", "POST", "/requests", "requests:write"],
      ["auditor", "GET", "/requests", "requests:read"],
      ["auditor", "GET", "/events", "requests:read"],
      ["auditor", "POST", "/policy/endorsements", "statements:write"],
      ["claude", "GET", "/requests", "requests:read"],
      ["claude", "GET", `/requests/${ref}`, "requests:read"],
      ["claude", "POST", `/requests/${ref}/decisions`, "statements:write"],
      ["claude", "GET", `/requests/${ref}/draft?person=ben&decision=approve`, "requests:read"],
      ["local", "POST", "/requests", "requests:write"],
      ["local", "POST", `/requests/${ref}/withdraw`, "requests:write"],
    ];
    for (const [token, method, path, scope] of cases) {
      const client = api.as(token);
      const answer = method === "GET" ? await client.get(path) : await client.post(path, body);
      expect([path, answer.status, answer.code, answer.json["scope"]]).toEqual([
        path,
        403,
        "scope_missing",
        scope,
      ]);
    }
    expect(await stateOf(ref)).toBe("held");
  });

  test("is no person: it asks the agent nothing, and its own word decides nothing (P1)", async () => {
    const ref = await held();
    const { statement } = (await api.decision(ref, "ben", "approve")) as { statement: object };
    const answer = await api
      .as("local")
      .post(`/requests/${ref}/decisions`, { statement, proof: { kind: "session" } });
    expect([answer.status, answer.code]).toEqual([403, "needs_session"]);
    const inquiry = await api.as("local").post(`/requests/${ref}/inquiries`, { text: "why?" });
    expect([inquiry.status, inquiry.code]).toEqual([403, "needs_session"]);
    expect(await stateOf(ref)).toBe("held");
  });

  test("opens nothing once its time is over", async () => {
    expect((await api.as("over").get("/requests")).status).toBe(200);
    clock.advance(61_000);
    const answer = await api.as("over").get("/requests");
    expect([answer.status, answer.code]).toEqual([401, "unauthenticated"]);
  });

  test("that is wrong is refused, also where a good cookie came along", async () => {
    const ben = api.signedIn("ben");
    const answer = await ben.get("/requests", { authorization: "Bearer csa_nothing-that-anybody-made-here" });
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe('Bearer realm="countersign-api"');
  });

  test("of the wrong kind, many times, is told to wait", async () => {
    let last: RawAnswer | null = null;
    for (let i = 0; i < 80 && last?.status !== 429; i += 1) {
      last = await raw({
        method: "GET",
        path: "/api/v1/requests",
        headers: {
          host: `localhost:${api.api.port}`,
          authorization: `Bearer csm_guess-number-${i}-000000000`,
        },
      });
    }
    expect([last?.status, last?.json["code"]]).toEqual([429, "too_many"]);
    expect(Number(last?.headers["retry-after"])).toBeGreaterThan(0);
    // Whoever has a good one is not kept out by it.
    expect((await api.as("reader").get("/requests")).status).toBe(200);
    clock.advance(60_000);
  });
});

describe("a session", () => {
  test("reads all that a person may, and is told what it may do and why not", async () => {
    const ref = await held();
    const can = async (person: string): Promise<Record<string, { ok: boolean; code?: string }>> => {
      const { json } = await api.signedIn(person).get(`/requests/${ref}`);
      return json["can"] as never;
    };
    expect(await can("ben")).toMatchObject({
      approve: { ok: true, needs: "A2", full: "A2" },
      deny: { ok: true },
      take_back: { ok: false, code: "nothing_to_take_back" },
      inquire: { ok: true },
      withdraw: { ok: false, code: "not_yours" },
      session: "A2",
    });
    expect(await can("ana")).toMatchObject({
      approve: { ok: false, code: "self_approval" },
      deny: { ok: false, code: "self_approval" },
      withdraw: { ok: true },
    });
    expect(await can("dee")).toMatchObject({ approve: { ok: false, code: "not_eligible" } });
  });

  test("decides by the gateway's word for it: fresh it is worth A2, and the entry says who says so", async () => {
    const ref = await held();
    const ben = api.signedIn("ben");
    const { statement } = (await ben.get(`/requests/${ref}/draft?decision=approve`)).json;
    expect(statement).toMatchObject({ approver: "ben" });
    const answer = await ben.post(`/requests/${ref}/decisions`, { statement, proof: { kind: "session" } });
    expect([answer.status, answer.json["state"]]).toEqual([200, "granted"]);
    const entries = await api.world.home.requests.history(ref as never);
    const recorded = entries.find((entry) => entry.kind === "decision.recorded");
    expect(recorded?.data).toMatchObject({
      person: "ben",
      assurance: "A2",
      proof: { kind: "session", method: "passkey", subject: "credential of ben", channel: "console" },
    });
  });

  test("that signed in six minutes ago is worth A1: recorded, not counted; it still denies (C3)", async () => {
    const ref = await held();
    const ben = api.signedIn("ben", clock.now() - 6 * 60_000);
    const draft = async (choice: string) =>
      (await ben.get(`/requests/${ref}/draft?decision=${choice}`)).json["statement"];
    const proof = { kind: "session" };
    const approve = await ben.post(`/requests/${ref}/decisions`, {
      statement: await draft("approve"),
      proof,
    });
    expect(approve.json).toMatchObject({ state: "not_counted", code: "assurance_too_low" });
    const deny = await ben.post(`/requests/${ref}/decisions`, {
      statement: await draft("deny&fixable=true&reason=no"),
      proof,
    });
    expect(deny.json).toEqual({ state: "denied" });
  });

  test("speaks for its own person only, with whatever proof", async () => {
    const ref = await held();
    const ben = api.signedIn("ben");
    const draft = await ben.get(`/requests/${ref}/draft?person=chi&decision=approve`);
    expect([draft.status, draft.code]).toEqual([403, "wrong_person"]);
    const ofChi = (await api.decision(ref, "chi", "approve")) as { statement: object; proof: object };
    for (const proof of [ofChi.proof, { kind: "session" }]) {
      const answer = await ben.post(`/requests/${ref}/decisions`, { statement: ofChi.statement, proof });
      expect([answer.status, answer.code]).toEqual([403, "wrong_person"]);
    }
    expect(await stateOf(ref)).toBe("held");
  });

  test("can't say in a body what only the gateway may say of it", async () => {
    const ref = await held();
    const ben = api.signedIn("ben", clock.now() - 3_600_000);
    const { statement } = (await ben.get(`/requests/${ref}/draft?decision=approve`)).json;
    const proofs = [
      { kind: "session", signed_in_at: new Date(clock.now()).toISOString() },
      { kind: "session", method: "passkey", subject: "x", channel: "console" },
      { kind: "webauthn", credential: "YQ", authenticator_data: "", client_data: "YQ", signature: "YQ" },
      { kind: "webauthn", credential: "Y+/=", authenticator_data: "YQ", client_data: "YQ", signature: "YQ" },
    ];
    for (const proof of proofs) {
      expect((await ben.post(`/requests/${ref}/decisions`, { statement, proof })).code).toBe("bad_request");
    }
    const made = { kind: "webauthn", credential: "YQ", authenticator_data: "YQ", client_data: "YQ" };
    const answer = await ben.post(`/requests/${ref}/decisions`, {
      statement,
      proof: { ...made, signature: "YQ" },
    });
    expect([answer.status >= 400, answer.code]).toEqual([true, "signature_invalid"]);
  });

  test("that was revoked is nobody", async () => {
    const ben = api.signedIn("ben");
    expect((await ben.get("/requests")).status).toBe(200);
    api.sessions.revoke(ben.id);
    expect((await ben.get("/requests")).status).toBe(401);
  });
});

describe("attacks", () => {
  test("a form of another port: same site, cookie and all (A3)", async () => {
    const ref = await held();
    const ben = api.signedIn("ben");
    const { statement } = (await ben.get(`/requests/${ref}/draft?decision=approve`)).json;
    const body = JSON.stringify({ statement, proof: { kind: "session" } });
    const path = `/api/v1/requests/${ref}/decisions`;
    const { host, cookie } = { host: `localhost:${api.api.port}`, cookie: ben.cookie };
    const csrf = "csrf-1-ben";
    const json = { "content-type": "application/json" };
    const own = `http://localhost:${api.api.port}`;
    const tries: [Record<string, string>, number, string][] = [
      [{ origin: "http://localhost:9999", "content-type": "text/plain" }, 403, "wrong_origin"],
      [{ origin: "http://localhost:9999", "sec-fetch-site": "same-site", ...json }, 403, "wrong_origin"],
      [{ "sec-fetch-site": "same-site", ...json }, 403, "wrong_origin"],
      [{ origin: "null", ...json }, 403, "wrong_origin"],
      [json, 403, "wrong_origin"],
      [{ origin: own, ...json }, 403, "csrf"],
      [{ origin: own, "x-csrf-token": "", ...json }, 403, "csrf"],
      [{ origin: own, "x-csrf-token": csrf.slice(0, -1), ...json }, 403, "csrf"],
      [{ origin: own, "x-csrf-token": `${csrf},${csrf}`, ...json }, 403, "csrf"],
    ];
    for (const [headers, status, code] of tries) {
      const answer = await raw({ path, body, headers: { host, cookie, ...headers } });
      expect([headers, answer.status, answer.json["code"]]).toEqual([headers, status, code]);
    }
    expect(await stateOf(ref)).toBe("held");
  });

  test("another person's CSRF token", async () => {
    const [ben, chi] = [api.signedIn("ben"), api.signedIn("chi")];
    const theirs = api.sessions.find(chi.cookie)?.csrf ?? "";
    const ref = await held();
    const answer = await ben.post(`/requests/${ref}/inquiries`, { text: "x" }, { "x-csrf-token": theirs });
    expect([answer.status, answer.code]).toEqual([403, "csrf"]);
  });

  test("a name that was rebound to this machine, whatever it sends (H1)", async () => {
    const ben = api.signedIn("ben");
    for (const host of [
      "evil.example",
      `evil.example:${api.api.port}`,
      `localhost:${api.api.port}.evil.example`,
    ]) {
      const answer = await raw({
        method: "GET",
        path: "/api/v1/requests",
        headers: { host, cookie: ben.cookie },
      });
      expect([answer.status, answer.json["code"]]).toEqual([421, "wrong_host"]);
    }
  });

  test("the address instead of the name: a window is led to localhost, nothing else is", async () => {
    const host = `127.0.0.1:${api.api.port}`;
    const window = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none" };
    const led = await raw({ method: "GET", path: "/requests/8K2M4Q?x=1", headers: { host, ...window } });
    expect([led.status, led.headers["location"]]).toEqual([
      307,
      `http://localhost:${api.api.port}/requests/8K2M4Q?x=1`,
    ]);
    const far = await raw({ method: "GET", path: "//evil.example/", headers: { host, ...window } });
    expect(far.headers["location"]).toBe(`http://localhost:${api.api.port}//evil.example/`);
    for (const headers of [{ host }, { host, accept: "application/json" }]) {
      const answer = await raw({ method: "GET", path: "/api/v1/requests", headers });
      expect(answer.status).toBe(421);
      expect(answer.json["detail"]).toContain(`localhost:${api.api.port}`);
    }
    expect((await raw({ path: "/", headers: { host, ...window } })).status).toBe(421);
  });

  test("a link of another site leads to a page, and to no answer of the API (H2)", async () => {
    const ben = api.signedIn("ben");
    const link = {
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
      "sec-fetch-site": "cross-site",
    };
    const headers = { host: `localhost:${api.api.port}`, cookie: ben.cookie, ...link };
    // There are no pages here, so it comes as far as that there is nothing.
    expect((await raw({ method: "GET", path: "/requests/8K2M4Q", headers })).status).toBe(404);
    expect((await raw({ method: "GET", path: "/api/v1/requests", headers })).status).toBe(403);
    expect((await raw({ method: "POST", path: "/requests/8K2M4Q", headers })).status).toBe(403);
    const frame = { ...headers, "sec-fetch-dest": "iframe" };
    expect((await raw({ method: "GET", path: "/requests/8K2M4Q", headers: frame })).status).toBe(403);
  });

  test("bodies that are huge, slow, compressed, of another type, or two at once", async () => {
    const ref = await held();
    const client = api.as("local");
    const path = `/requests/${ref}/decisions`;
    expect((await client.post(path, "x".repeat(70_000))).code).toBe("too_large");
    expect((await client.post(path, "{}", { "content-type": "text/plain" })).code).toBe("wrong_media_type");
    expect((await client.post(path, "{}", { "content-encoding": "gzip" })).code).toBe("wrong_media_type");
    const token = api.tokens.local;
    const head = (more: string): string =>
      `POST /api/v1${path} HTTP/1.1\r\nHost: localhost:${api.api.port}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n${more}\r\n`;
    // The body never ends: the listener does not wait for it.
    const started = performance.now();
    await rawTcp(api.api.port, head("Content-Length: 1000\r\n"));
    expect(performance.now() - started).toBeLessThan(9_000);
    const smuggled = await rawTcp(
      api.api.port,
      head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
    );
    expect(smuggled).toMatch(/^HTTP\/1\.1 400/);
    expect(await stateOf(ref)).toBe("held");
  }, 30_000);

  test("headers in what is asked for come out in no header", async () => {
    const client = api.as("claude");
    const answer = await client.post("/requests", {
      ...{ tool: "write_note", call_id: "header-injection\r\nset-cookie: x=1" },
      arguments: { book: "ledger", text: "a\r\nset-cookie: b=1" },
    });
    expect(answer.headers["set-cookie"]).toBeUndefined();
    expect([200, 202]).toContain(answer.status);
    const page = await raw({
      method: "GET",
      path: "/api/v1/requests/x%0d%0aset-cookie:%20a=1",
      headers: { host: `localhost:${api.api.port}`, authorization: `Bearer ${api.tokens.reader}` },
    });
    expect([page.status, page.headers["set-cookie"]]).toEqual([404, undefined]);
  });

  test("proofs that do not verify, again and again", async () => {
    const ref = await held();
    const ben = api.signedIn("chi");
    const { statement } = (await ben.get(`/requests/${ref}/draft?decision=approve`)).json;
    const body = { statement, proof: { kind: "sshsig", signature: "x" } };
    let last = await ben.post(`/requests/${ref}/decisions`, body);
    for (let i = 0; i < 30 && last.status !== 429; i += 1) {
      last = await ben.post(`/requests/${ref}/decisions`, body);
    }
    expect([last.status, last.code]).toEqual([429, "too_many"]);
    // Others are not kept from deciding by it.
    const other = await api
      .as("local")
      .post(`/requests/${ref}/decisions`, await api.decision(ref, "ben", "deny"));
    expect(other.json).toEqual({ state: "denied" });
  });
});
