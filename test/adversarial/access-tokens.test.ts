import { createHmac, type webcrypto } from "node:crypto";
import { exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT, type JWTPayload } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { oauthSettings } from "../../src/config/oauth.ts";
import type { IssuerSettings, OauthSettings } from "../../src/config/settings.ts";
import {
  createAccessTokens,
  MAX_TOKEN_LENGTH,
  type AccessTokens,
} from "../../src/transport/http/access-token.ts";
import { openTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

// What can be presented at the agents' door that passes for an access token of somebody else, or for one at all?

const RESOURCE = "https://gate.example.com/mcp";
let idp: TokenIssuer;
let other: TokenIssuer;
/** Ahead of the real clock, in milliseconds. */
let ahead = 0;
beforeEach(async () => {
  ahead = 0;
  [idp, other] = [await openTokenIssuer(RESOURCE), await openTokenIssuer(RESOURCE)];
});
afterEach(() => Promise.all([idp.close(), other.close()]));

const settings = (change: Partial<IssuerSettings> = {}, more: Partial<OauthSettings> = {}): OauthSettings => {
  const base = oauthSettings({ resource: RESOURCE, issuers: [{ issuer: idp.url }] }) as OauthSettings;
  return { ...base, issuers: base.issuers.map((one) => ({ ...one, ...change })), ...more };
};
const open = (change: Partial<IssuerSettings> = {}, more: Partial<OauthSettings> = {}): AccessTokens =>
  createAccessTokens(settings(change, more), () => Date.now() + ahead);
const why = async (token: string, tokens = open()): Promise<string> => {
  const verdict = await tokens.verify(token);
  return verdict.ok ? "ok" : verdict.why;
};
const seconds = (): number => Math.floor(Date.now() / 1_000);
const raw = (header: object, payload: object, signature = ""): string =>
  [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".") +
  `.${signature}`;
const good = (claims: JWTPayload = {}): JWTPayload => ({
  ...{
    iss: idp.url,
    sub: "ana-1",
    aud: RESOURCE,
    iat: seconds(),
    exp: seconds() + 300,
    client_id: "x",
    scope: "a",
  },
  ...claims,
});

test("a good token says who acts for whom, and for what", async () => {
  const token = await idp.token({ act: { sub: "worker-1", act: { sub: "planner-1" } } });
  expect(await open().verify(token)).toEqual({
    ok: true,
    token: {
      ...{ issuer: idp.url, subject: "ana-1", isClient: false, client: "desktop-app" },
      actors: ["worker-1", "planner-1"],
      scopes: new Set(["countersign:read", "countersign:write"]),
    },
  });
});

describe("the signature", () => {
  test("none at all is refused, in whatever case it is written (A3)", async () => {
    for (const alg of ["none", "None", "NONE", "nOnE", ""]) {
      const header = { alg, typ: "at+jwt", kid: "one" };
      // Without its last part it is no JWT of ours; with one, its algorithm is not taken.
      expect(await why(raw(header, good()))).toBe("malformed");
      expect(await why(raw(header, good(), "AA"))).toBe("wrong_algorithm");
    }
  });

  test("by a shared secret that is the public key is refused, also where a careless operator lists it (A3)", async () => {
    const pem = await exportSPKI((await importJWK(idp.jwk, "ES256")) as webcrypto.CryptoKey);
    for (const secret of [pem, JSON.stringify(idp.jwk)]) {
      const body = raw({ alg: "HS256", typ: "at+jwt", kid: "one" }, good()).slice(0, -1);
      const token = `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
      expect(await why(token)).toBe("wrong_algorithm");
      expect(await why(token, open({ algorithms: ["HS256", "ES256"] }))).not.toBe("ok");
    }
  });

  test("by an algorithm that is not on the issuer's list is refused, though its key is there", async () => {
    expect(await why(await idp.token(), open({ algorithms: ["RS256"] }))).toBe("wrong_algorithm");
  });

  test("by a key that the token brings along, or says where to find, is refused (K1)", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: "mine" };
    other.serve("/mine", (_, response) => void response.end(JSON.stringify({ keys: [jwk] })));
    for (const header of [
      { kid: "mine", jwk },
      { kid: "one", jwk },
      { kid: "mine", jku: `${other.url}/mine` },
      { kid: "one", jku: `${other.url}/mine` },
      { kid: "mine", x5u: `${other.url}/mine`, x5c: ["AAAA"] },
      { kid: `${other.url}/mine` },
      { kid: "../../../../dev/null" },
      { kid: "one' OR '1'='1" },
      { kid: undefined },
      { kid: 7 },
    ]) {
      expect([header, await why(await idp.token({}, header, privateKey))]).toEqual([
        header,
        expect.stringMatching(/^(bad_signature|malformed)$/),
      ]);
    }
    expect(other.asked).toEqual([]);
    expect(new Set(idp.asked)).toEqual(new Set(["/.well-known/oauth-authorization-server", "/jwks"]));
  });

  test("over other bytes, cut short, or with an extension that must be understood, is refused", async () => {
    const [header, payload, signature] = (await idp.token()).split(".") as [string, string, string];
    const forged = Buffer.from(JSON.stringify(good({ sub: "ben-1" }))).toString("base64url");
    expect(await why(`${header}.${forged}.${signature}`)).toBe("bad_signature");
    expect(await why(`${header}.${payload}.${signature.slice(0, -4)}`)).toBe("bad_signature");
    const extended = new SignJWT(good()).setProtectedHeader({
      ...{ alg: "ES256", typ: "at+jwt", kid: "one" },
      ...{ crit: ["x"], x: 1 },
    });
    expect(await why(await extended.sign(idp.key(), { crit: { x: true } }))).toBe("bad_signature");
  });

  test("of another issuer's key is refused for this one, and its own for whom it names (A1)", async () => {
    expect(await why(await other.token({ iss: idp.url }))).toBe("bad_signature");
    expect(await why(await other.token())).toBe("wrong_issuer");
    const both = settings();
    const tokens = createAccessTokens(
      { ...both, issuers: [...both.issuers, { ...(both.issuers[0] as IssuerSettings), issuer: other.url }] },
      Date.now,
    );
    const [mine, theirs] = [await tokens.verify(await idp.token()), await tokens.verify(await other.token())];
    expect([mine, theirs]).toMatchObject([
      { ok: true, token: { issuer: idp.url, subject: "ana-1" } },
      { ok: true, token: { issuer: other.url, subject: "ana-1" } },
    ]);
    expect(await why(await idp.token({ iss: other.url }), tokens)).toBe("bad_signature");
  });
});

describe("the claims", () => {
  test("of another resource, another issuer by a hair, or none, are refused (A1, A2)", async () => {
    for (const aud of [
      "https://gate.example.com",
      "https://gate.example.com/mcp/",
      "https://gate.example.com/MCP",
      "https://gate.example.com/mcp?x",
      ["https://evil.example/mcp"],
      [],
      undefined,
      { 0: RESOURCE },
    ])
      expect([aud, await why(await idp.token({ aud }))]).toEqual([aud, "wrong_audience"]);
    expect(await why(await idp.token({ aud: ["https://else.example", RESOURCE] }))).toBe("ok");
    for (const iss of [`${idp.url}/`, idp.url.toUpperCase(), undefined, [idp.url], "__proto__"])
      expect([iss, await why(await idp.token({ iss }))]).toEqual([iss, "wrong_issuer"]);
  });

  test("whose time is over, has not begun, has no end, or is too long, are refused (A4)", async () => {
    const now = seconds();
    const cases: [Record<string, unknown>, string][] = [
      [{ exp: now - 31 }, "expired"],
      [{ exp: now - 5 }, "ok"],
      [{ nbf: now + 60 }, "not_yet"],
      [{ nbf: now + 5 }, "ok"],
      [{ iat: now + 60 }, "not_yet"],
      [{ exp: undefined }, "no_end"],
      [{ iat: undefined }, "no_end"],
      [{ exp: "soon" }, "no_end"],
      [{ exp: null }, "no_end"],
      [{ iat: now - 100_000 }, "too_old"],
      [{ iat: now - 100_000, exp: now + 1e12 }, "too_old"],
      [{ nbf: "now" }, "not_yet"],
    ];
    for (const [claims, expected] of cases)
      expect([claims, await why(await idp.token(claims))]).toEqual([claims, expected]);
  });

  test("that do not say clearly who acts are refused (A6)", async () => {
    for (const claims of [
      { sub: undefined },
      { sub: "" },
      { sub: 7 },
      { sub: "x".repeat(1_000) },
      { client_id: ["a"] },
      { client_id: "" },
      { act: "worker-1" },
      { act: null },
      { act: [] },
      { act: {} },
      { act: { sub: "" } },
      { act: { sub: ["worker-1"] } },
      { act: { sub: "worker-1", act: {} } },
      { act: { sub: "worker-1", iss: "https://else.example" } },
      { act: Array.from({ length: 9 }).reduce<object>((act) => ({ sub: "a", act }), { sub: "a" }) },
      { scope: 7 },
      { scope: [7] },
    ])
      expect([claims, await why(await idp.token(claims))]).toEqual([claims, "bad_claims"]);
    expect(await why(await idp.token({ act: { sub: "worker-1", iss: idp.url } }))).toBe("ok");
  });

  test("of a client's own token are told from a person's", async () => {
    const verdict = await open().verify(await idp.token({ sub: "ci-app", client_id: "ci-app" }));
    expect(verdict).toMatchObject({ ok: true, token: { isClient: true } });
  });

  test("without scopes are good for nothing; scopes are words, not parts of words", async () => {
    const scopesOf = async (claims: Record<string, unknown>, change = {}) => {
      const verdict = await open(change).verify(await idp.token(claims));
      return verdict.ok ? [...verdict.token.scopes] : verdict.why;
    };
    expect(await scopesOf({ scope: undefined })).toEqual([]);
    expect(await scopesOf({ scope: "xcountersign:read  b" })).toEqual(["xcountersign:read", "b"]);
    expect(await scopesOf({ scope: undefined, scp: ["a", "b"] })).toEqual(["a", "b"]);
    expect(await scopesOf({ scope: "a", roles: ["b"] }, { scopeClaim: "roles" })).toEqual(["b"]);
    expect(await scopesOf({ scope: "a" }, { scopeClaim: "constructor" })).not.toEqual(["a"]);
  });
});

describe("what is no access token", () => {
  test("an ID token, a plain JWT, or a logout token is refused (A3)", async () => {
    for (const typ of [undefined, "JWT", "jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "at+jwt2"])
      expect([typ, await why(await idp.token({}, { typ }))]).toEqual([typ, "wrong_type"]);
    for (const typ of ["at+jwt", "AT+JWT", "application/at+jwt"])
      expect([typ, await why(await idp.token({}, { typ }))]).toEqual([typ, "ok"]);
  });

  test("where the operator takes plain JWTs, what bears the marks of an ID or refresh token is still refused", async () => {
    const plain = open({ acceptsPlainJwt: true });
    for (const typ of [undefined, "JWT"]) expect(await why(await idp.token({}, { typ }), plain)).toBe("ok");
    for (const claims of [{ nonce: "x" }, { at_hash: "x" }, { typ: "ID" }, { typ: "Refresh" }])
      expect(await why(await idp.token(claims, { typ: "JWT" }), plain)).toBe("wrong_type");
    expect(await why(await idp.token({ typ: "Bearer" }, { typ: "JWT" }), plain)).toBe("ok");
    expect(await why(await idp.token({}, { typ: "logout+jwt" }), plain)).toBe("wrong_type");
  });

  test("rubbish and very long tokens are refused before anything is fetched", async () => {
    const token = await idp.token();
    for (const bad of [
      "",
      ".",
      "..",
      "a.b",
      "a.b.c",
      `${token}.x`,
      ` ${token}`,
      `${token}\n`,
      token.replace(".", ".."),
    ])
      expect([bad, await why(bad)]).toEqual([bad, "malformed"]);
    const long = await idp.token({ groups: "x".repeat(MAX_TOKEN_LENGTH) });
    expect(await why(long)).toBe("malformed");
    expect(idp.asked).toEqual([]);
  });
});

describe("the keys", () => {
  const keyRequests = (): number => idp.asked.filter((path) => path === "/jwks").length;

  test("are fetched once for many tokens, and a flood of unknown key ids is no flood of requests (K2)", async () => {
    const tokens = open();
    const fake = (await generateKeyPair("ES256")).privateKey;
    expect(await why(await idp.token(), tokens)).toBe("ok");
    for (let i = 0; i < 50; i += 1) await tokens.verify(await idp.token({}, { kid: `k${i}` }, fake));
    await Promise.all(Array.from({ length: 50 }, async () => tokens.verify(await idp.token())));
    expect(keyRequests()).toBe(1);
  });

  test("that were rotated are found without a restart", async () => {
    const tokens = open();
    const before = await idp.token();
    expect(await why(before, tokens)).toBe("ok");
    await idp.rotate("two");
    // Within half a minute of the last fetch no other is made; a gateway that has just started has no such wait.
    expect(await why(await idp.token(), open())).toBe("ok");
    expect(await why(before, open())).toBe("bad_signature");
  });

  test("that can't be had let nobody in, and say so; the issuer is not asked again at once (K3)", async () => {
    const failures: Parameters<TokenIssuer["serve"]>[1][] = [
      (_, response) => void response.writeHead(500).end(),
      (_, response) => void response.end("not json"),
      (_, response) => void response.end("[]"),
      (_, response) => void response.end('{"keys":"none"}'),
      (_, response) => void response.end(`{"keys":[],"x":"${"x".repeat(300_000)}"}`),
      (_, response) => void response.writeHead(302, { location: `${other.url}/jwks` }).end(),
      (request) => void request.socket.destroy(),
    ];
    for (const [i, failure] of failures.entries()) {
      idp.serve("/jwks", failure);
      const tokens = open();
      const before = keyRequests();
      for (let n = 0; n < 3; n += 1)
        expect([i, await tokens.verify(await idp.token())]).toEqual([
          i,
          {
            ok: false,
            why: "keys_unavailable",
            issuer: idp.url,
            cause: expect.stringContaining("key set") as string,
          },
        ]);
      expect(keyRequests() - before).toBe(1);
    }
    // A redirect is not followed.
    expect(other.asked).toEqual([]);
  });

  test("at hand serve on while the issuer is away, for tokens that they sign (K2)", async () => {
    const tokens = open();
    expect(await why(await idp.token(), tokens)).toBe("ok");
    idp.serve("/jwks", (_, response) => void response.writeHead(500).end());
    await tokens.verify(await idp.token({}, { kid: "unknown" }));
    expect(await why(await idp.token({ jti: "2" }), tokens)).toBe("ok");
  });

  test("come back when the issuer does", async () => {
    const tokens = open();
    idp.serve("/jwks", (_, response) => void response.writeHead(500).end());
    expect(await why(await idp.token(), tokens)).toBe("keys_unavailable");
    await idp.rotate("two");
    ahead = 6_000;
    expect(await why(await idp.token(), tokens)).toBe("ok");
  });

  test("are looked for under the issuer's own address only: metadata leads nowhere else (K1)", async () => {
    const metadata = "/.well-known/oauth-authorization-server";
    for (const document of [
      { issuer: other.url, jwks_uri: `${idp.url}/jwks` },
      { issuer: idp.url, jwks_uri: `${other.url}/jwks` },
      { issuer: idp.url, jwks_uri: "file:///etc/passwd" },
      { issuer: idp.url, jwks_uri: "http://169.254.169.254/latest/meta-data" },
      { issuer: idp.url },
    ]) {
      idp.serve(metadata, (_, response) => void response.end(JSON.stringify(document)));
      expect([document, await why(await idp.token(), open())]).toEqual([document, "keys_unavailable"]);
    }
    expect(other.asked).toEqual([]);
    // Where the operator says so, they may be elsewhere.
    other.serve("/jwks", (_, response) => void response.end(JSON.stringify({ keys: [idp.jwk] })));
    expect(await why(await idp.token(), open({ jwksUri: `${other.url}/jwks` }))).toBe("ok");
  });

  test("of OpenID Connect discovery are found too, where there is no other metadata", async () => {
    idp.serve("/.well-known/oauth-authorization-server", (_, response) => void response.writeHead(404).end());
    idp.serve(
      "/.well-known/openid-configuration",
      (_, response) => void response.end(JSON.stringify({ issuer: idp.url, jwks_uri: `${idp.url}/jwks` })),
    );
    expect(await why(await idp.token())).toBe("ok");
  });
});

test("a verified token is remembered by its digest, never beyond its end, and nothing of it is kept (A4, A5)", async () => {
  const tokens = open();
  const token = await idp.token({ exp: seconds() + 60 });
  expect(tokens.known(token)).toBeNull();
  expect(await why(token, tokens)).toBe("ok");
  expect(tokens.known(token)).toMatchObject({ ok: true });
  ahead = 61_000;
  expect(tokens.known(token)).toBeNull();
});

test("a clock that is set back prolongs nothing: what was remembered is verified again (A4)", async () => {
  let [wall, passed] = [Date.now(), 0];
  const tokens = createAccessTokens(
    settings(),
    () => wall,
    () => passed,
  );
  const token = await idp.token();
  expect(await tokens.verify(token)).toMatchObject({ ok: true });
  expect(tokens.known(token)).toMatchObject({ ok: true });
  wall -= 3_600_000;
  passed += 300_000;
  expect(tokens.known(token)).toBeNull();
  expect(await tokens.verify(token)).toEqual({ ok: false, why: "not_yet" });
});
