import pino from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { questionDigest, type Question } from "../../src/consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import { SCOPES } from "../../src/transport/http/actor.ts";
import { startApi, type Api } from "../../src/transport/http/api.ts";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { openAskedHome, type AskedHome } from "../support/asked-home.ts";
import { rawHttp, type RawAnswer, type RawRequest } from "../support/raw-http.ts";

const log = pino({ level: "silent" });
const token = newToken("csa");
const mcpToken = newToken("csm");
let asked: AskedHome;
let api: Api;
beforeAll(async () => {
  asked = await openAskedHome();
  api = await startApi({
    home: asked.home,
    listener: { host: "localhost", port: 0 },
    tokens: createBearer([
      {
        ...{ kind: "token" as const, name: "local", acts: null, tokenSha256: tokenSha256(token) },
        scopes: new Set(SCOPES),
      },
    ]),
    version: "0.0.0",
    receipt: async (request) => JSON.stringify({ receipt: request }),
    log,
  });
});
afterAll(async () => {
  await api.close(0);
  await asked.close();
});

const bearer = { authorization: `Bearer ${token}` };
const own = (): { host: string } => ({ host: `localhost:${api.port}` });
const get = (path: string, headers: RawRequest["headers"] = bearer): Promise<RawAnswer> =>
  rawHttp({ port: api.port, method: "GET", path: `/api/v1${path}`, headers: { ...own(), ...headers } });
const post = (path: string, body: unknown, headers: RawRequest["headers"] = {}): Promise<RawAnswer> =>
  rawHttp({
    port: api.port,
    path: `/api/v1${path}`,
    headers: { ...own(), ...bearer, "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
  });

type Who = keyof AskedHome["keys"];
async function signed(
  ref: string,
  person: string,
  decision: string,
  who: Who = person as Who,
): Promise<object> {
  const draft = await get(`/requests/${ref}/draft?person=${person}&decision=${decision}&reason=seen`);
  const { statement, sign } = draft.json as {
    statement: Statement;
    sign: { namespace: string; bytes: string };
  };
  const signature = asked.keys[who].sign(Buffer.from(sign.bytes, "base64"), sign.namespace);
  return { statement, proof: { kind: "sshsig", signature } };
}

describe("who may come in", () => {
  test("nobody without the API's own token, and the agents' token is not it (P1)", async () => {
    const ref = await asked.ask("p1");
    const body = await signed(ref, "ben", "approve");
    const decisions = `/requests/${ref}/decisions`;
    for (const authorization of [undefined, `Bearer ${mcpToken}`, `Bearer ${token}x`, `Basic ${token}`]) {
      for (const path of [
        "/requests",
        `/requests/${ref}`,
        `/requests/${ref}/draft?person=ben&decision=approve`,
        "/log/checkpoint",
      ]) {
        const answer = await get(path, { authorization });
        expect(answer.status).toBe(401);
        expect(answer.headers["content-type"]).toBe("application/problem+json");
        expect(answer.text).not.toContain(ref);
      }
      const answer = await post(decisions, body, { authorization });
      expect(answer.status).toBe(401);
    }
    expect((await get(`/requests/${ref}`)).json["state"]).toBe("held");
  });

  test("a probe learns that the gateway lives, and nothing else", async () => {
    const answer = await get("/health", {});
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ status: "ok" });
    for (const path of ["/health/", "/health?x", "//health", "/%68ealth"])
      expect((await get(path, {})).status).toBe(401);
  });

  test("only under its own name, and no page of another origin (H1, H2)", async () => {
    for (const host of [
      `127.0.0.1:${api.port}`,
      `[::1]:${api.port}`,
      "localhost",
      "evil.example",
      `x.localhost:${api.port}`,
    ]) {
      expect((await get("/requests", { ...bearer, host })).status).toBe(421);
    }
    expect((await get("/requests", { ...bearer, origin: `http://localhost:${api.port}` })).status).toBe(200);
    for (const origin of [
      "null",
      "https://evil.example",
      "http://localhost:7331",
      `http://127.0.0.1:${api.port}`,
    ]) {
      expect((await get("/requests", { ...bearer, origin })).status).toBe(403);
    }
    expect((await get("/requests", { ...bearer, "sec-fetch-site": "same-site" })).status).toBe(403);
    expect((await get("/requests", { ...bearer, "sec-fetch-site": "cross-site" })).status).toBe(403);
  });

  test("nothing is cached, sniffed, framed or readable by pages, and untrusted text stays JSON (P3)", async () => {
    const ref = await asked.ask("headers");
    for (const answer of [await get(`/requests/${ref}`), await get("/nothing"), await get("/requests", {})]) {
      expect(answer.headers["cache-control"]).toBe("no-store");
      expect(answer.headers["x-content-type-options"]).toBe("nosniff");
      expect(answer.headers["content-security-policy"]).toContain("default-src 'none'");
      expect(answer.headers["content-type"]).toMatch(/^application\/(problem\+)?json$/);
      expect(Object.keys(answer.headers).join()).not.toContain("access-control");
      expect(answer.headers["set-cookie"]).toBeUndefined();
    }
    expect((await get(`/requests/${ref}`)).text).toContain("<script>");
  });
});

describe("what people are shown", () => {
  test("requests, newest first, and one in full with its question, view and quorum", async () => {
    const [first, second] = [await asked.ask("one"), await asked.ask("two")];
    const { requests } = (await get("/requests?limit=2")).json as { requests: { id: string }[] };
    expect(requests.map((request) => request.id)).toEqual([second, first]);
    const shown = (await get(`/requests/${first}`)).json as Record<string, unknown>;
    expect(shown).toMatchObject({
      state: "held",
      request: { id: first, tool: "deploy_service" },
      view: { effectLine: "DEPLOY 1 service · prod · web" },
      quorum: { met: false, clauses: [{ missing: 1, by: [] }] },
    });
    expect(questionDigest(shown["question"] as Question)).toBe(shown["digest"]);
    const code = (shown["request"] as { code: string }).code;
    expect((await get(`/requests/${code}`)).json["digest"]).toBe(shown["digest"]);
  });

  test("problems with a code for what is not there or not askable", async () => {
    const ref = await asked.ask("problems");
    const cases: [string, number, string][] = [
      ["/requests/req_01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "request_not_found"],
      ["/requests/../../etc/passwd", 404, "not_found"],
      ["/requests?limit=0", 400, "bad_request"],
      ["/requests?limit=1e9", 400, "bad_request"],
      [`/requests/${ref}/draft?person=ben`, 400, "bad_request"],
      [`/requests/${ref}/draft?person=ben&decision=obey`, 400, "bad_request"],
      [`/requests/${ref}/draft?person=ben&decision=approve&extra=1`, 400, "bad_request"],
      ["/nothing", 404, "not_found"],
    ];
    for (const [path, status, code] of cases) {
      const answer = await get(path);
      expect([path, answer.status, answer.json["code"]]).toEqual([path, status, code]);
      expect(answer.json).toMatchObject({ type: `urn:countersign:problem:${code}`, status });
    }
  });

  test("the signed head of the log, and a receipt as it is", async () => {
    const ref = await asked.ask("checkpoint");
    const { checkpoint, size, root } = (await get("/log/checkpoint")).json as Record<string, string>;
    expect(String(checkpoint).split("\n")[1]).toBe(String(size));
    expect(root).toMatch(/^sha256:/);
    const receipt = await get(`/requests/${ref}/receipt`);
    expect(receipt.text).toBe(JSON.stringify({ receipt: ref }));
  });
});

describe("a decision", () => {
  test("counts by its signature, and grants (G2)", async () => {
    const ref = await asked.ask("grant");
    const answer = await post(`/requests/${ref}/decisions`, await signed(ref, "ben", "approve"));
    expect([answer.status, answer.json["state"]]).toEqual([200, "granted"]);
    const entries = await asked.home.requests.history(ref);
    expect(entries.map((entry) => entry.kind).slice(-3)).toEqual([
      "decision.recorded",
      "consent.settled",
      "grant.minted",
    ]);
    const recorded = entries.find((entry) => entry.kind === "decision.recorded");
    expect(recorded?.data).toMatchObject({
      person: "ben",
      proof: { kind: "sshsig", channel: "api", fingerprint: asked.keys.ben.fingerprint },
    });
  });

  test("denies with the person's words", async () => {
    const ref = await asked.ask("deny");
    const answer = await post(`/requests/${ref}/decisions`, await signed(ref, "ben", "deny"));
    expect(answer.json).toEqual({ state: "denied" });
    expect((await get(`/requests/${ref}`)).json).toMatchObject({ state: "denied", view: null });
  });

  test("is refused with the desk's own code (C1, C2, C3)", async () => {
    const ref = await asked.ask("refusals");
    const path = `/requests/${ref}/decisions`;
    const unknown = await post(path, await signed(ref, "ben", "approve", "mallory"));
    expect([unknown.status, unknown.json["code"]]).toEqual([403, "unknown_signer"]);
    const other = await post(path, await signed(ref, "ana", "approve", "ben"));
    expect([other.status, other.json["code"]]).toEqual([403, "wrong_person"]);
    const self = await post(path, await signed(ref, "ana", "approve"));
    expect([self.status, self.json["code"]]).toEqual([403, "self_approval"]);
    const outsider = await post(path, await signed(ref, "dee", "approve"));
    expect([outsider.status, outsider.json["code"]]).toEqual([403, "not_eligible"]);
    expect((await get(`/requests/${ref}`)).json["state"]).toBe("held");
  });

  test("does not count where the signature is over anything else", async () => {
    const ref = await asked.ask("forged");
    const path = `/requests/${ref}/decisions`;
    const good = (await signed(ref, "ben", "deny")) as { statement: Statement; proof: { signature: string } };
    const turned = { ...good, statement: { ...good.statement, decision: "approve" } };
    const renamed = { ...good, statement: { ...good.statement, summary: "harmless" } };
    const bytes = statementBytes(good.statement);
    const forGit = { ...good, proof: { kind: "sshsig", signature: asked.keys.ben.sign(bytes, "git") } };
    for (const body of [turned, renamed, forGit]) {
      const answer = await post(path, body);
      expect([answer.status, answer.json["code"]]).toEqual([422, "invalid_signature"]);
    }
    expect((await get(`/requests/${ref}`)).json["state"]).toBe("held");
  });

  test("goes to the request that its path names, and to no other", async () => {
    const [first, second] = [await asked.ask("a"), await asked.ask("b")];
    const answer = await post(`/requests/${second}/decisions`, await signed(first, "ben", "approve"));
    expect([answer.status, answer.json["code"]]).toEqual([409, "other_question"]);
    for (const ref of [first, second]) expect((await get(`/requests/${ref}`)).json["state"]).toBe("held");
  });

  test("sent again with its key gets the same answer, and without one the truth", async () => {
    const ref = await asked.ask("twice");
    const path = `/requests/${ref}/decisions`;
    const body = await signed(ref, "ben", "approve");
    const key = { "idempotency-key": "once-0001" };
    const answers = await Promise.all([post(path, body, key), post(path, body, key)]);
    answers.push(await post(path, body, key));
    for (const answer of answers) expect([answer.status, answer.json["state"]]).toEqual([200, "granted"]);
    const plain = await post(path, body);
    expect([plain.status, plain.json["code"]]).toEqual([409, "already_settled"]);
    const changed = await post(path, { ...body, proof: { kind: "sshsig", signature: "x" } }, key);
    expect([changed.status, changed.json["code"]]).toEqual([422, "key_reused"]);
    expect((await post(path, body, { "idempotency-key": "x".repeat(256) })).status).toBe(400);
    const decisions = (await asked.home.requests.history(ref)).filter(
      (entry) => entry.kind === "decision.recorded",
    );
    expect(decisions).toHaveLength(1);
  });

  test("is JSON of a limited size, and everything in it is known", async () => {
    const ref = await asked.ask("bodies");
    const path = `/requests/${ref}/decisions`;
    const body = (await signed(ref, "ben", "approve")) as { statement: object; proof: object };
    const cases: [unknown, RawRequest["headers"], number, string][] = [
      [body, { "content-type": "text/plain" }, 415, "wrong_media_type"],
      [body, { "content-type": "application/x-www-form-urlencoded" }, 415, "wrong_media_type"],
      [body, { "content-encoding": "gzip" }, 415, "wrong_media_type"],
      ["{", {}, 400, "bad_request"],
      [Buffer.from('{"statement":"\xff"}', "latin1"), {}, 400, "bad_request"],
      [{ ...body, approved: true }, {}, 400, "bad_request"],
      [{ ...body, proof: { ...body.proof, channel: "cli" } }, {}, 400, "bad_request"],
      [{ ...body, proof: { kind: "trust-me" } }, {}, 400, "bad_request"],
      [{ ...body, statement: { ...body.statement, extra: 1 } }, {}, 422, "invalid_statement"],
      [{ ...body, statement: null }, {}, 422, "invalid_statement"],
      [{ ...body, proof: { kind: "sshsig", signature: "x" } }, {}, 422, "invalid_signature"],
      ["x".repeat(65 * 1024), {}, 413, "too_large"],
      ["x".repeat(65 * 1024), { "transfer-encoding": "chunked" }, 413, "too_large"],
    ];
    for (const [content, headers, status, code] of cases) {
      const answer = await post(path, content, headers);
      expect([answer.status, answer.json["code"]]).toEqual([status, code]);
    }
    expect((await get(`/requests/${ref}`)).json["state"]).toBe("held");
  });

  test("needs POST, and its namespace is the product's own", async () => {
    const ref = await asked.ask("methods");
    expect((await get(`/requests/${ref}/decisions`)).status).toBe(404);
    const draft = (
      await get(
        `/requests/${ref}/draft?person=ben&decision=approve&log_size=3&log_root=sha256:${"0".repeat(64)}`,
      )
    ).json;
    expect(draft).toMatchObject({ sign: { namespace: SSHSIG_NAMESPACE }, statement: { log: { size: 3 } } });
  });
});
