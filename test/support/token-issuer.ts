import type { webcrypto } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from "jose";

// An authorization server as far as a resource server sees one: metadata, keys, and tokens signed with them, honest or not.

export interface TokenIssuer {
  readonly url: string;
  readonly jwk: JWK;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** Signs what is given, over what a good token says. `undefined` takes a claim or header out. */
  token(
    claims?: Readonly<Record<string, unknown>>,
    header?: Record<string, unknown>,
    key?: webcrypto.CryptoKey | Uint8Array,
  ): Promise<string>;
  /** Replaces what is served at a path. */
  serve(path: string, answer: (request: IncomingMessage, response: ServerResponse) => void): void;
  /** Another signing key from now on. */
  rotate(kid: string): Promise<void>;
  /** The private half of the key that signs. */
  key(): webcrypto.CryptoKey;
  close(): Promise<void>;
}

const METADATA = "/.well-known/oauth-authorization-server";

const json =
  (document: unknown) =>
  (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
  };

export async function openTokenIssuer(resource: string): Promise<TokenIssuer> {
  const asked: string[] = [];
  const pages = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const page = pages.get(request.url ?? "");
    if (page === undefined) response.writeHead(404).end();
    else page(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const make = async (kid: string) => {
    const pair = await generateKeyPair("ES256");
    const jwk: JWK = { ...(await exportJWK(pair.publicKey)), kid, alg: "ES256", use: "sig" };
    return { ...pair, jwk };
  };
  let current = await make("one");
  pages.set(METADATA, json({ issuer: url, jwks_uri: `${url}/jwks` }));
  pages.set("/jwks", json({ keys: [current.jwk] }));
  return {
    url,
    asked,
    get jwk() {
      return current.jwk;
    },
    key: () => current.privateKey,
    serve: (path, answer) => void pages.set(path, answer),
    async rotate(kid) {
      current = await make(kid);
      pages.set("/jwks", json({ keys: [current.jwk] }));
    },
    token(claims = {}, header = {}, key) {
      const now = Math.floor(Date.now() / 1_000);
      const payload: JWTPayload = {
        ...{ iss: url, sub: "ana-1", aud: resource, iat: now, exp: now + 300, jti: "1" },
        ...{ client_id: "desktop-app", scope: "countersign:read countersign:write" },
        ...claims,
      };
      const protectedHeader = { alg: "ES256", typ: "at+jwt", kid: current.jwk.kid, ...header };
      return new SignJWT(payload)
        .setProtectedHeader(protectedHeader as { alg: string })
        .sign(key ?? current.privateKey);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
