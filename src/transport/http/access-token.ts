import { createHash } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";
import type { IssuerSettings, OauthSettings } from "../../config/settings.ts";
import { createIssuerKeys, KeysUnavailable } from "./issuer-keys.ts";

// Access tokens as JWTs (RFC 9068), verified against the keys of issuers that the operator named.
//
//   A1. The issuer is one of the configuration, exactly; its own keys, algorithms and audience count, no other's.
//   A2. `aud` names us (RFC 8707 §2): a token for another resource is refused, however good its signature.
//   A3. `alg` is of the issuer's list, which holds no `none` and no shared secret; `typ` is an access token's.
//   A4. It has an end, and its age has one too. Clocks may differ by the configured skew, no more.
//   A5. A token is never kept, logged or passed on: what is remembered of one is its digest.
//   A6. What says nothing clear is refused: a claim of the wrong type, an actor without a subject, or one that another
//       issuer would have to vouch for.

/** What a verified token says. */
export interface AccessToken {
  readonly issuer: string;
  readonly subject: string;
  /** It was issued to a client for itself: no person is behind it. */
  readonly isClient: boolean;
  readonly client: string | null;
  /** Subjects of `act`, from the one who acts now to the first. */
  readonly actors: readonly string[];
  readonly scopes: ReadonlySet<string>;
}

/** Why a token is refused; each may be told to whoever sent it. */
export const TOKEN_FAULTS = {
  malformed: "it is no JWT access token",
  wrong_issuer: "its issuer is not one that is taken here",
  wrong_algorithm: "its signature algorithm is not taken from that issuer",
  wrong_type: "it is no access token: typ has to be at+jwt",
  wrong_audience: "it was made for another resource",
  expired: "its time is over",
  not_yet: "its time has not begun; compare the clocks",
  too_old: "it was issued too long ago",
  no_end: "it has no end (exp), or no beginning (iat)",
  bad_claims: "its claims do not say clearly who acts for whom",
  bad_signature: "no key of its issuer signed it",
} as const;
export type TokenFault = keyof typeof TOKEN_FAULTS;

export type TokenVerdict =
  | { readonly ok: true; readonly token: AccessToken }
  | { readonly ok: false; readonly why: TokenFault }
  /** A3 of nothing: it could not be judged. `cause` is for the operator. */
  | { readonly ok: false; readonly why: "keys_unavailable"; readonly issuer: string; readonly cause: string };

export interface AccessTokens {
  /** The verdict that stands already, or null where the token has to be verified. */
  known(token: string): TokenVerdict | null;
  /** What can be told without a key, then the signature. Never throws. */
  verify(token: string): Promise<TokenVerdict>;
}

/** Headers have 16 KiB in all; tokens with long lists of groups stay below this. */
export const MAX_TOKEN_LENGTH = 8 * 1024;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Verified tokens that are remembered, by digest, and for how long: less than keys are (K2). */
const MOST_KNOWN = 1_000;
const KNOWN_MS = 300_000;

/** True for what has the form of a JWT; everything else is a static token or nothing. */
export const looksLikeJwt = (token: string): boolean => token.length <= MAX_TOKEN_LENGTH && JWT.test(token);

/** `now` in epoch milliseconds, `monotonic` in milliseconds that never go back. */
export function createAccessTokens(
  settings: OauthSettings,
  now: () => number,
  monotonic: () => number = () => performance.now(),
): AccessTokens {
  const issuers = new Map(
    settings.issuers.map((one) => [one.issuer, { ...one, keys: createIssuerKeys(one, now) }]),
  );
  const remembered = new Map<string, Remembered>();
  const keyOf = (token: string): string => createHash("sha256").update(token).digest("base64url");

  const remember = (token: string, verified: AccessToken, expMs: number): void => {
    remembered.delete(keyOf(token));
    for (const oldest of remembered.keys()) {
      if (remembered.size < MOST_KNOWN) break;
      remembered.delete(oldest);
    }
    const until = Math.min(expMs, now() + KNOWN_MS);
    remembered.set(keyOf(token), { token: verified, until, ends: monotonic() + until - now() });
  };

  const verify = async (token: string): Promise<TokenVerdict> => {
    const early = whatCanBeTold(token, issuers, settings, now());
    if (typeof early === "string") return { ok: false, why: early };
    const { issuer } = early;
    try {
      const { payload } = await jwtVerify(token, issuer.keys, {
        issuer: issuer.issuer,
        audience: [...issuer.audience],
        algorithms: [...issuer.algorithms],
        requiredClaims: ["exp", "iat"],
        maxTokenAge: settings.maxTokenAgeMs / 1_000,
        clockTolerance: settings.clockSkewMs / 1_000,
        currentDate: new Date(now()),
      });
      const verified = readClaims(payload, issuer);
      if (verified === null) return { ok: false, why: "bad_claims" };
      remember(token, verified, (payload.exp ?? 0) * 1_000);
      return { ok: true, token: verified };
    } catch (error) {
      // jose's errors hold the claims: nothing of them goes on from here (A5).
      if (error instanceof KeysUnavailable)
        return { ok: false, why: "keys_unavailable", issuer: issuer.issuer, cause: error.message };
      return { ok: false, why: faultOf(error) };
    }
  };

  return {
    known(token) {
      const key = keyOf(token);
      const found = remembered.get(key);
      if (found === undefined) return null;
      // By either clock: a wall clock that was set back prolongs nothing.
      if (found.until <= now() || found.ends <= monotonic()) {
        remembered.delete(key);
        return null;
      }
      return { ok: true, token: found.token };
    },
    verify,
  };
}

interface Remembered {
  readonly token: AccessToken;
  /** Epoch milliseconds. */
  readonly until: number;
  /** The same by the monotonic clock. */
  readonly ends: number;
}

type KnownIssuer = IssuerSettings & { readonly keys: ReturnType<typeof createIssuerKeys> };

/** Everything that needs no key. It is only ever a reason to refuse; what it lets pass is verified after it. */
function whatCanBeTold(
  token: string,
  issuers: ReadonlyMap<string, KnownIssuer>,
  settings: OauthSettings,
  now: number,
): TokenFault | { readonly issuer: KnownIssuer } {
  if (!looksLikeJwt(token)) return "malformed";
  let header: ReturnType<typeof decodeProtectedHeader>;
  let payload: JWTPayload;
  try {
    header = decodeProtectedHeader(token);
    payload = decodeJwt(token);
  } catch {
    return "malformed";
  }
  const issuer = typeof payload.iss === "string" ? issuers.get(payload.iss) : undefined;
  if (issuer === undefined) return "wrong_issuer";
  if (typeof header.alg !== "string" || !issuer.algorithms.includes(header.alg)) return "wrong_algorithm";
  if (!isAccessToken(header.typ, payload, issuer)) return "wrong_type";
  const audience = Array.isArray(payload.aud) ? payload.aud : [payload.aud];
  if (!issuer.audience.some((ours) => audience.includes(ours))) return "wrong_audience";
  if (typeof payload.exp !== "number" || typeof payload.iat !== "number") return "no_end";
  const skew = settings.clockSkewMs;
  if (payload.exp * 1_000 + skew <= now) return "expired";
  if (typeof payload.nbf === "number" && payload.nbf * 1_000 > now + skew) return "not_yet";
  if (payload.iat * 1_000 > now + skew) return "not_yet";
  if (payload.iat * 1_000 + settings.maxTokenAgeMs + skew < now) return "too_old";
  return { issuer };
}

/** Claims that only ID tokens have: OpenID Connect Core §2, §3.1.3.6. */
const ID_TOKEN_CLAIMS = ["nonce", "at_hash", "c_hash", "s_hash"];

function isAccessToken(typ: string | undefined, payload: JWTPayload, issuer: IssuerSettings): boolean {
  const type = typ?.toLowerCase().replace(/^application\//, "");
  if (type === "at+jwt") return true;
  if (!issuer.acceptsPlainJwt || (type !== undefined && type !== "jwt")) return false;
  // Keycloak says in a claim what its tokens are: Bearer, ID, Refresh, Logout.
  const claimed = payload["typ"];
  return (
    (claimed === undefined || claimed === "Bearer") &&
    !ID_TOKEN_CLAIMS.some((claim) => Object.hasOwn(payload, claim))
  );
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return error.claim === "iat" ? "too_old" : "expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "nbf" || error.claim === "iat") return "not_yet";
    return error.claim === "aud" ? "wrong_audience" : "bad_claims";
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "wrong_algorithm";
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) return "malformed";
  return "bad_signature";
}

const MAX_NAME_LENGTH = 512;
const MAX_ACTORS = 8;
const MAX_SCOPES = 500;

const isName = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= MAX_NAME_LENGTH;

/** Who acts for whom, and for what; null where that is not clear (A6). */
function readClaims(payload: JWTPayload, issuer: IssuerSettings): AccessToken | null {
  const subject = payload[issuer.subjectClaim];
  const clientClaim = issuer.clientClaim ?? ("client_id" in payload ? "client_id" : "azp");
  const client = payload[clientClaim] ?? null;
  const actors = actorsOf(payload["act"], issuer.issuer);
  const scopes = scopesOf(payload[issuer.scopeClaim ?? ("scope" in payload ? "scope" : "scp")]);
  if (!isName(subject) || (client !== null && !isName(client)) || actors === null || scopes === null)
    return null;
  // RFC 9068 §2.2: without a person, the subject is the client.
  return { issuer: issuer.issuer, subject, isClient: subject === client, client, actors, scopes };
}

function actorsOf(act: unknown, issuer: string): readonly string[] | null {
  const actors: string[] = [];
  for (let link = act; link !== undefined; link = (link as { act?: unknown }).act) {
    if (typeof link !== "object" || link === null || Array.isArray(link)) return null;
    const { sub, iss } = link as { readonly sub?: unknown; readonly iss?: unknown };
    if (!isName(sub) || (iss !== undefined && iss !== issuer) || actors.length >= MAX_ACTORS) return null;
    actors.push(sub);
  }
  return actors;
}

/** `a b` or `["a", "b"]`. Without the claim it is good for nothing. */
function scopesOf(claim: unknown): ReadonlySet<string> | null {
  const words = typeof claim === "string" ? claim.split(" ") : (claim ?? []);
  if (!Array.isArray(words) || words.length > MAX_SCOPES) return null;
  if (!words.every((word) => typeof word === "string")) return null;
  return new Set(words.filter((word) => word !== ""));
}
