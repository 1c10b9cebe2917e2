import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { COSE_ALGORITHMS } from "../../src/base/webauthn.ts";
import type { Proof } from "../../src/consent/entries.ts";

// An authenticator in software that speaks the real formats. It does what it is told, also what a real one never does:
// that is how the refusals are tried.

export interface Assertion {
  readonly authenticatorData: string;
  readonly clientData: string;
  readonly signature: string;
}

export interface AssertionWishes {
  readonly rpId?: string;
  readonly origin?: string;
  readonly type?: string;
  readonly crossOrigin?: boolean;
  readonly client?: Readonly<Record<string, unknown>>;
  readonly flags?: number;
  readonly counter?: number;
  readonly tail?: Uint8Array;
}

export interface SoftPasskey {
  readonly id: string;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly algorithm: number;
  readonly privateKey: KeyObject;
  counter: number;
  /** An assertion over the challenge, with user presence and verification unless wished otherwise. */
  answer(challenge: Uint8Array, wishes?: AssertionWishes): Assertion;
  /** A proof over the bytes of a statement. */
  prove(statement: Uint8Array, wishes?: AssertionWishes): Proof & { readonly kind: "webauthn" };
}

const KINDS = {
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
} as const;

export function createSoftPasskey(
  kind: keyof typeof KINDS = "ES256",
  defaults: { readonly rpId?: string; readonly origin?: string } = {},
): SoftPasskey {
  const { publicKey, privateKey } = KINDS[kind]();
  const passkey: SoftPasskey = {
    id: randomBytes(20).toString("base64url"),
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
    algorithm: COSE_ALGORITHMS[kind],
    privateKey,
    counter: 0,
    answer(challenge, wishes = {}) {
      const rpId = wishes.rpId ?? defaults.rpId ?? "localhost";
      const counter = wishes.counter ?? (passkey.counter += 1);
      const counterBytes = Buffer.alloc(4);
      counterBytes.writeUInt32BE(counter);
      const authenticatorData = Buffer.concat([
        createHash("sha256").update(rpId).digest(),
        Buffer.from([wishes.flags ?? 0x05]),
        counterBytes,
        wishes.tail ?? new Uint8Array(),
      ]);
      const clientData = Buffer.from(
        JSON.stringify({
          type: wishes.type ?? "webauthn.get",
          challenge: Buffer.from(challenge).toString("base64url"),
          origin: wishes.origin ?? defaults.origin ?? "http://localhost:7332",
          crossOrigin: wishes.crossOrigin ?? false,
          ...wishes.client,
        }),
      );
      const signed = Buffer.concat([authenticatorData, createHash("sha256").update(clientData).digest()]);
      return {
        authenticatorData: authenticatorData.toString("base64url"),
        clientData: clientData.toString("base64url"),
        signature: sign(kind === "EdDSA" ? null : "sha256", signed, privateKey).toString("base64url"),
      };
    },
    prove(statement, wishes) {
      const { authenticatorData, clientData, signature } = passkey.answer(
        createHash("sha256").update(statement).digest(),
        wishes,
      );
      return {
        kind: "webauthn",
        credential: passkey.id,
        authenticator_data: authenticatorData,
        client_data: clientData,
        signature,
        channel: "api",
      };
    },
  };
  return passkey;
}
