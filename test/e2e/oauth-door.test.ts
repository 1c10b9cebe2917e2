import { generateKeyPair } from "jose";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { oauthSettings } from "../../src/config/oauth.ts";
import type { OauthSettings } from "../../src/config/settings.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { startMcpHttp, type McpHttp } from "../../src/transport/mcp/http.ts";
import type { McpClient } from "../../src/transport/mcp/identify.ts";
import { createOauthDoor } from "../../src/transport/mcp/oauth-door.ts";
import { messagesOf, rawHttp, type RawAnswer } from "../support/raw-http.ts";
import { legacyRequest } from "../support/rpc.ts";
import { createScriptedGate, type ScriptedGate } from "../support/scripted-gate.ts";
import { openTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

// The agents' door with access tokens: what the outside sees of it when tokens are bad, keys are away, or many knock.

const RESOURCE = "https://gate.example.com/mcp";
const staticToken = newToken("csm");
const agedToken = newToken("csm");
const client = { principal: { kind: "named", id: "ana" }, agent: "desktop" } as const;
const clients: McpClient[] = [
  { name: "static", tokenSha256: tokenSha256(staticToken), permits: ["read"], ...client },
  { name: "aged", tokenSha256: tokenSha256(agedToken), expiresAt: 1_000, ...client },
];
let idp: TokenIssuer;
let gate: ScriptedGate;
let http: McpHttp;
let logged: { level: number; msg: string; counts?: object; issuer?: string }[];
beforeAll(async () => {
  idp = await openTokenIssuer(RESOURCE);
});
afterAll(() => idp.close());
beforeEach(async () => {
  logged = [];
  gate = createScriptedGate();
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const settings = oauthSettings({ resource: RESOURCE, issuers: [{ issuer: idp.url }] }) as OauthSettings;
  http = await startMcpHttp({
    gate,
    listener: { host: "127.0.0.1", port: 0 },
    authenticate: createBearer(clients),
    // Time stands still, so that what is refused does not depend on how fast this machine is.
    oauth: createOauthDoor({ settings, log, monotonic: () => 0 }),
    holdMs: 100,
    version: "0.0.0",
    log,
  });
});
afterEach(() => http.close(100));

const post = (token: string | null, message: unknown = legacyRequest(1, "tools/list"), host?: string) =>
  rawHttp({
    port: http.port,
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(host === undefined ? {} : { host }),
    },
    body: JSON.stringify(message),
  });
const deploy = legacyRequest(2, "tools/call", {
  name: "deploy_service",
  arguments: { service: "web", ref: "main", justification: "x" },
});
const textOf = (answer: RawAnswer): string => JSON.stringify([answer.headers, answer.text]);

test("the resource's own name is a Host header that is answered to, and no other is", async () => {
  expect((await post(await idp.token(), undefined, "gate.example.com")).status).toBe(200);
  expect((await post(await idp.token(), undefined, "evil.example.com")).status).toBe(421);
});

test("a caller is its issuer, subject, client and chain to the gate, and what its token permits", async () => {
  await post(await idp.token({ act: { sub: "worker-1" } }), deploy);
  expect(gate.calls.at(-1)?.caller).toMatchObject({
    principal: { kind: "oidc", issuer: idp.url, subject: "ana-1", isClient: false },
    agent: null,
    acting: { issuer: idp.url, client: "desktop-app", actors: ["worker-1"] },
    permits: ["read", "write"],
    transport: "http",
  });
});

test("no token names its agent by a header: that is for the home's own (C1)", async () => {
  await rawHttp({
    port: http.port,
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${await idp.token()}`,
      "countersign-agent": "someone-else",
    },
    body: JSON.stringify(deploy),
  });
  expect(gate.calls.at(-1)?.caller.agent).toBeNull();
});

test("a session of one principal can't be cancelled by another with the same agent", async () => {
  const slow = legacyRequest("call-1", "tools/call", {
    name: "deploy_service",
    arguments: { service: "web", ref: "main", justification: "x" },
  });
  const session = "cs1.W10.AAAAAAAAAAAAAAAA";
  const headers = async (sub: string) => ({
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `Bearer ${await idp.token({ sub })}`,
    "mcp-session-id": session,
  });
  const held = rawHttp({ port: http.port, headers: await headers("ana-1"), body: JSON.stringify(slow) });
  const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "call-1" } };
  await rawHttp({ port: http.port, headers: await headers("ben-1"), body: JSON.stringify(cancel) });
  // It is answered with its ticket, as a call is that nobody cancelled.
  expect(JSON.stringify(await messagesOf(await held))).toContain('"pending"');
});

describe("static tokens", () => {
  test("whose time is over open nothing, and say so", async () => {
    const answer = await post(agedToken);
    expect([answer.status, textOf(answer)]).toEqual([401, expect.stringContaining("time is over")]);
  });

  test("that permit little are judged by the gate: there is nobody to step up to", async () => {
    expect((await post(staticToken, deploy)).status).toBe(200);
    expect(gate.calls.at(-1)?.caller.permits).toEqual(["read"]);
  });
});

describe("bad tokens", () => {
  test("get one word of ours for what is wrong, never anything of theirs", async () => {
    const now = Math.floor(Date.now() / 1_000);
    const marked = "evil-marker";
    for (const [token, words] of [
      [await idp.token({ aud: marked }), "made for another resource"],
      [await idp.token({ exp: now - 300, sub: marked }), "its time is over"],
      [await idp.token({ iss: `https://${marked}` }), "not one that is taken here"],
      [await idp.token({}, { typ: marked }), "typ has to be at+jwt"],
      [`${marked}.${marked}.${marked}`, "no JWT"],
      [await idp.token({ x: marked.repeat(900) }), "no JWT"],
      [`${marked}-that-is-long`, "a bearer token of this gateway is needed"],
    ] as const) {
      const answer = await post(token);
      expect([words, answer.status, answer.headers["www-authenticate"]]).toEqual([
        words,
        401,
        expect.stringContaining(words),
      ]);
      expect(textOf(answer)).not.toContain(marked);
    }
    expect(JSON.stringify(logged)).not.toContain(marked);
  });

  test("in a flood are counted, not logged one by one, and slowed down; who is known goes on", async () => {
    const known = await idp.token();
    expect((await post(known)).status).toBe(200);
    const forged = (await generateKeyPair("ES256")).privateKey;
    const statuses = new Map<number, number>();
    for (let i = 0; i < 330; i += 1) {
      const { status } = await post(await idp.token({ jti: String(i) }, {}, forged));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    expect([...statuses]).toEqual([
      [401, 300],
      [429, 30],
    ]);
    expect((await post(known)).status).toBe(200);
    expect((await post(staticToken)).status).toBe(200);
    expect(logged.filter(({ msg }) => msg === "requests turned away")).toHaveLength(1);
    await http.close(0);
    const counted = logged.filter(({ msg }) => msg === "requests turned away").at(-1)?.counts;
    expect(counted).toMatchObject({ "401 bad_signature": expect.any(Number), 429: expect.any(Number) });
  });

  test("can't be judged while the issuer is away: 503 with the time to wait, once in the log, and nobody comes in (K3)", async () => {
    const away = await openTokenIssuer(RESOURCE);
    const token = await away.token();
    await away.close();
    await http.close(0);
    const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
    const settings = oauthSettings({ resource: RESOURCE, issuers: [{ issuer: away.url }] }) as OauthSettings;
    http = await startMcpHttp({
      gate,
      listener: { host: "127.0.0.1", port: 0 },
      authenticate: createBearer(clients),
      oauth: createOauthDoor({ settings, log, monotonic: () => 0 }),
      holdMs: 100,
      version: "0.0.0",
      log,
    });
    for (let i = 0; i < 3; i += 1) {
      const answer = await post(token, deploy);
      expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "10"]);
      expect(textOf(answer)).toContain("can't be had at the moment");
    }
    expect(gate.calls).toEqual([]);
    expect(logged.filter(({ issuer }) => issuer === away.url)).toHaveLength(1);
    expect((await post(staticToken)).status).toBe(200);
  });
});
