import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from "jose";
import type { IssuerSettings } from "../../config/settings.ts";
import { fetchJsonObject, NoDocument } from "./fetch-document.ts";

// The keys with which an issuer signs.
//
//   K1. Only what the operator configured is asked: the issuer's own metadata under its own URL, and keys at the
//       configured `jwks_uri` or, found by metadata, on the issuer's own origin. A token leads nowhere: `jku`, `x5u`
//       and `jwk` in its header are not looked at.
//   K2. Keys are kept for ten minutes. An unknown key id asks anew at most every half a minute, and an issuer that
//       failed is asked again after five seconds at the soonest: a flood of tokens is no flood of requests.
//   K3. Without keys there is no verdict on a token, and that is said; it is never let in.

/** The issuer's keys can't be had at the moment. */
export class KeysUnavailable extends Error {}

const METADATA_LIFE_MS = 3_600_000;
const KEYS_LIFE_MS = 600_000;
const UNKNOWN_KEY_PAUSE_MS = 30_000;
const FAILURE_PAUSE_MS = 5_000;

/** Where metadata of an issuer can stand: RFC 8414 §3.1, then OpenID Connect Discovery §4.1. */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname === "/" ? "" : pathname.replace(/\/$/, "");
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
    ...(path === "" ? [] : [`${origin}/.well-known/openid-configuration${path}`]),
  ];
}

/** Where the issuer's keys are. @throws KeysUnavailable with the reason, fit for a log */
export async function locateKeys({ issuer, jwksUri }: IssuerSettings): Promise<URL> {
  if (jwksUri !== null) return new URL(jwksUri);
  const tried: string[] = [];
  for (const url of metadataUrls(issuer)) {
    try {
      const metadata = await fetchJsonObject(url);
      // RFC 8414 §3.3: metadata of somebody else must not be used.
      if (metadata["issuer"] !== issuer) {
        tried.push(`${url} is metadata of another issuer`);
        continue;
      }
      return ownKeys(issuer, metadata["jwks_uri"]);
    } catch (error) {
      if (!(error instanceof NoDocument)) throw error;
      tried.push(`${url} ${error.message}`);
    }
  }
  throw new KeysUnavailable(tried.join("; "));
}

function ownKeys(issuer: string, jwksUri: unknown): URL {
  const url = typeof jwksUri === "string" && URL.canParse(jwksUri) ? new URL(jwksUri) : null;
  if (url === null) throw new KeysUnavailable("the issuer's metadata names no jwks_uri");
  if (url.origin !== new URL(issuer).origin) {
    throw new KeysUnavailable(
      `the issuer's metadata has its keys on another origin (${url.origin}); where that is right, set jwks_uri`,
    );
  }
  return url;
}

/** A key set as it is served. @throws KeysUnavailable */
export async function fetchKeys(url: URL | string): Promise<{ readonly keys: readonly object[] }> {
  const set = await fetchJsonObject(String(url)).catch((error: unknown) => {
    throw new KeysUnavailable(`its key set ${error instanceof NoDocument ? error.message : "can't be read"}`);
  });
  const keys: unknown = set["keys"];
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "object" && key !== null))
    throw new KeysUnavailable("its key set has no keys");
  return { keys: keys as object[] };
}

/** A way to get keys as {@link JWTVerifyGetKey}; what it throws besides jose's own errors is {@link KeysUnavailable}. */
export function createIssuerKeys(settings: IssuerSettings, now: () => number): JWTVerifyGetKey {
  let located: { readonly at: number; readonly keys: Promise<JWTVerifyGetKey> } | null = null;
  let failed: { readonly at: number; readonly error: unknown } | null = null;

  /** Around what asks the issuer, not around what is known already: keys at hand serve on while it is away. */
  const pausing = async <T>(ask: () => Promise<T>): Promise<T> => {
    if (failed !== null && now() - failed.at < FAILURE_PAUSE_MS) throw failed.error;
    try {
      return await ask();
    } catch (error) {
      failed = { at: now(), error };
      throw error;
    }
  };
  const locate = async (): Promise<JWTVerifyGetKey> =>
    createRemoteJWKSet(await pausing(() => locateKeys(settings)), {
      cacheMaxAge: KEYS_LIFE_MS,
      cooldownDuration: UNKNOWN_KEY_PAUSE_MS,
      [customFetch]: async (url) => new Response(JSON.stringify(await pausing(() => fetchKeys(url)))),
    });
  const keySet = (): Promise<JWTVerifyGetKey> => {
    if (located === null || now() - located.at > METADATA_LIFE_MS) {
      const keys = locate();
      located = { at: now(), keys };
      keys.catch(() => {
        located = null;
      });
    }
    return located.keys;
  };
  return async (header, token) => (await keySet())(header, token);
}
