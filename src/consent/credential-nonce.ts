import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { CredentialStatement } from "./credential-statement.ts";

// A nonce that the gateway can recognise as its own without remembering it: 128 random bits, and a code over them and
// what the statement is about. So a statement is about one proceeding, whichever process drafted it, across restarts.

type About = Pick<CredentialStatement, "action" | "person" | "credential" | "public_key">;

export interface CredentialNonces {
  mint(about: About): string;
  isOurs(nonce: string, about: About): boolean;
}

/** `secret` is a key of the home that never leaves it. */
export function createCredentialNonces(secret: Uint8Array): CredentialNonces {
  const codeOver = (random: string, { action, person, credential, public_key }: About): Buffer =>
    createHmac("sha256", secret)
      .update(
        JSON.stringify(["countersign.credential-nonce.v1", random, action, person, credential, public_key]),
      )
      .digest()
      .subarray(0, 16);
  return {
    mint(about) {
      const random = randomBytes(16).toString("hex");
      return random + codeOver(random, about).toString("hex");
    },
    isOurs(nonce, about) {
      if (!/^[0-9a-f]{64}$/.test(nonce)) return false;
      const given = Buffer.from(nonce.slice(32), "hex");
      return timingSafeEqual(given, codeOver(nonce.slice(0, 32), about));
    },
  };
}
