import { createHash, createPublicKey, timingSafeEqual, verify, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "./result.ts";

// WebAuthn assertions (WebAuthn L3 §7.2), checked with nothing but node:crypto, so that a receipt can be checked offline.
//
//   W1. The challenge is the one given: the hash of a statement, or a number of our own making.
//   W2. The origin belongs to the relying party, and is one of the listed where a list is given. A page on another port
//       of localhost shares the relying party `localhost`, so a running gateway always gives the list.
//   W3. Presence and verification are given back, not demanded: whoever relies on them has to look.
//   W4. Every field has one form: base64url without padding or stray bits, authenticator data without a tail.
//   W5. ES256, Ed25519 and RS256 only; RSA keys have 2048 bits or more.

/** COSE algorithm identifiers that are taken (RFC 9053). */
export const COSE_ALGORITHMS = { ES256: -7, EdDSA: -8, RS256: -257 } as const;

/** What an authenticator answers. All base64url. */
export interface WebauthnAssertion {
  readonly authenticatorData: string;
  readonly clientData: string;
  readonly signature: string;
}

/** A credential's public key. */
export interface WebauthnKey {
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly algorithm: number;
}

/** What a verified assertion says. */
export interface AssertionFacts {
  readonly userPresent: boolean;
  readonly userVerified: boolean;
  readonly backupEligible: boolean;
  readonly backedUp: boolean;
  /** 0 where the authenticator counts nothing, as synced passkeys do. */
  readonly counter: number;
  readonly origin: string;
}

export type AssertionProblemCode =
  | "malformed"
  | "wrong_type"
  | "wrong_challenge"
  | "wrong_origin"
  | "cross_origin"
  | "wrong_rp"
  | "bad_key"
  | "bad_signature";

export interface AssertionProblem {
  readonly code: AssertionProblemCode;
  readonly message: string;
}

const MAX_FIELD = 8 * 1024;
const FLAG = { up: 0x01, uv: 0x04, be: 0x08, bs: 0x10, at: 0x40, ed: 0x80 } as const;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Checks that the key answered this challenge for this relying party. */
export function verifyAssertion(parts: {
  readonly assertion: WebauthnAssertion;
  readonly key: WebauthnKey;
  readonly challenge: Uint8Array;
  readonly rpId: string;
  /** Origins that may have asked; null: any that belongs to the relying party. */
  readonly origins: readonly string[] | null;
}): Result<AssertionFacts, AssertionProblem> {
  const { assertion, challenge, rpId } = parts;
  const clientData = fromBase64url(assertion.clientData);
  const authData = fromBase64url(assertion.authenticatorData);
  const signature = fromBase64url(assertion.signature);
  if (clientData === null || authData === null || signature === null) {
    return problem("malformed", "a field of the assertion is not base64url");
  }
  const client = readClientData(clientData);
  if (client === null) return problem("malformed", "the client data is not the JSON that a browser writes");
  if (client.type !== "webauthn.get")
    return problem("wrong_type", `the client data is of type "${client.type}"`);
  const answered = fromBase64url(client.challenge);
  if (answered?.length !== challenge.length || !timingSafeEqual(answered, challenge)) {
    return problem("wrong_challenge", "the passkey signed another challenge than this statement's");
  }
  if (client.crossOrigin) return problem("cross_origin", "the page that asked was framed by another origin");
  if (!isOriginOf(client.origin, rpId) || parts.origins?.includes(client.origin) === false) {
    return problem("wrong_origin", `a page of ${printable(client.origin)} asked, which is not ours`);
  }

  const facts = readAuthenticatorData(authData, client.origin);
  if (facts === null)
    return problem("malformed", "the authenticator data does not have the form of an assertion");
  if (!timingSafeEqual(authData.subarray(0, 32), sha256(Buffer.from(rpId)))) {
    return problem("wrong_rp", `the passkey answered another relying party than ${rpId}`);
  }
  const key = readKey(parts.key);
  if (key === null) return problem("bad_key", "the enrolled key is not one of ES256, Ed25519 or RS256");
  const signed = Buffer.concat([authData, sha256(clientData)]);
  if (!verifyWith(key, signed, signature)) {
    return problem("bad_signature", "the signature does not fit the assertion and the enrolled key");
  }
  return ok(facts);
}

/**
 * True where pages of the origin may use the relying party (WebAuthn L3 §5.1.2): the same host or one below it, over
 * https, or over http on the machine itself.
 */
export function isOriginOf(origin: string, rpId: string): boolean {
  const parsed = /^(https?):\/\/([a-z0-9.-]+)(?::\d{1,5})?$/.exec(origin);
  if (parsed === null) return false;
  const [, scheme, host = ""] = parsed;
  if (host !== rpId && !host.endsWith(`.${rpId}`)) return false;
  return scheme === "https" || host === "localhost" || host.endsWith(".localhost");
}

/** True for a public key, as base64 of its SubjectPublicKeyInfo, that this module would verify with. */
export const isUsableKey = (key: WebauthnKey): boolean => readKey(key) !== null;

/** The bytes, or null for anything that is not the one base64url form of them. */
export function fromBase64url(text: string): Buffer | null {
  if (typeof text !== "string" || text.length > MAX_FIELD || !/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : null;
}

/** The signature counter of base64url authenticator data; 0 where it can't be read. */
export function counterOf(authenticatorData: string): number {
  const bytes = fromBase64url(authenticatorData);
  return bytes === null || bytes.length < 37 ? 0 : bytes.readUInt32BE(33);
}

interface ClientData {
  readonly type: string;
  readonly challenge: string;
  readonly origin: string;
  readonly crossOrigin: boolean;
}

function readClientData(bytes: Uint8Array): ClientData | null {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { type, challenge, origin, crossOrigin, topOrigin } = value as Record<string, unknown>;
  if (typeof type !== "string" || typeof challenge !== "string" || typeof origin !== "string") return null;
  if (crossOrigin !== undefined && typeof crossOrigin !== "boolean") return null;
  return { type, challenge, origin, crossOrigin: crossOrigin === true || topOrigin !== undefined };
}

// rpIdHash (32), flags (1), counter (4); then extensions, where their flag says so. An assertion carries no credential.
function readAuthenticatorData(bytes: Buffer, origin: string): AssertionFacts | null {
  if (bytes.length < 37) return null;
  const flags = bytes[32] ?? 0;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(FLAG.at) || has(FLAG.ed) !== bytes.length > 37) return null;
  if (has(FLAG.bs) && !has(FLAG.be)) return null;
  return {
    userPresent: has(FLAG.up),
    userVerified: has(FLAG.uv),
    backupEligible: has(FLAG.be),
    backedUp: has(FLAG.bs),
    counter: bytes.readUInt32BE(33),
    origin,
  };
}

type Kind = "ec" | "ed25519" | "rsa";

function readKey({
  publicKey,
  algorithm,
}: WebauthnKey): { readonly kind: Kind; readonly key: KeyObject } | null {
  const der = Buffer.from(publicKey, "base64");
  if (der.toString("base64") !== publicKey) return null;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    return null;
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm === COSE_ALGORITHMS.ES256 && type === "ec" && details?.namedCurve === "prime256v1") {
    return { kind: "ec", key };
  }
  if (algorithm === COSE_ALGORITHMS.EdDSA && type === "ed25519") return { kind: "ed25519", key };
  if (algorithm === COSE_ALGORITHMS.RS256 && type === "rsa" && (details?.modulusLength ?? 0) >= 2048) {
    return { kind: "rsa", key };
  }
  return null;
}

function verifyWith(
  { kind, key }: { readonly kind: Kind; readonly key: KeyObject },
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  switch (kind) {
    case "ec":
      return verify("sha256", message, { key, dsaEncoding: "der" }, signature);
    case "ed25519":
      return verify(null, message, key, signature);
    case "rsa":
      return verify("sha256", message, key, signature);
  }
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** An origin is written by whoever made the assertion. */
const printable = (text: string): string => (/^[\x21-\x7e]{1,200}$/.test(text) ? text : "an odd origin");

const problem = (
  code: AssertionProblemCode,
  message: string,
): { readonly ok: false; readonly error: AssertionProblem } => err({ code, message });
