import * as z from "zod";
import { timestamp } from "../../base/clock.ts";
import { verifySshSignature } from "../../base/sshsig.ts";
import {
  credentialBytes,
  CREDENTIAL_NAMESPACE,
  type CredentialStatement,
} from "../../consent/credential-statement.ts";
import type { SignedCredential } from "../../consent/credentials.ts";
import type { Proof } from "../../consent/entries.ts";
import { parseCredentialStatement } from "../../consent/parse-credential-statement.ts";
import { CountersignError } from "../../errors.ts";
import type { Actor } from "./actor.ts";

// What the people routes take in.

const field = z
  .string()
  .min(1)
  .max(8 * 1024);

export const signInBody = z.object({
  id: z.string().min(1).max(1_400),
  response: z.object({
    authenticatorData: field,
    clientDataJSON: field,
    signature: field,
    userHandle: z.string().max(200).optional(),
  }),
});

const label = z.string().max(200).default("passkey");

export const enrolmentOptionsBody = z.strictObject({
  code: z.string().max(200).optional(),
  label: label.optional(),
});

/** A registration as the browser gives it; @simplewebauthn/server reads it. */
const registration = z.looseObject({
  id: z.string().min(1).max(1_400),
  response: z.looseObject({
    clientDataJSON: field,
    attestationObject: z
      .string()
      .min(1)
      .max(64 * 1024),
  }),
});

const proof = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("sshsig"),
    signature: z
      .string()
      .min(1)
      .max(32 * 1024),
  }),
  z.strictObject({
    kind: z.literal("webauthn"),
    credential: z.string().min(1).max(1_400),
    authenticator_data: field,
    client_data: field,
    signature: field,
  }),
  z.strictObject({ kind: z.literal("session") }),
]);

export const enrolmentBody = z.union([
  z.strictObject({ code: z.string().max(200).optional(), label, response: registration }),
  /** The second step of adding a passkey: what was registered, vouched for with one that counts. */
  z.strictObject({ pending: z.string().max(100), statement: z.unknown(), proof }),
]);

export const signedBody = z.strictObject({
  statement: z.unknown(),
  proof,
  why: z.string().max(200).optional(),
});

/**
 * A statement with its proof. A session hands in its own person's statements only, and its own word is made here.
 * @throws CountersignError `CREDENTIAL_REFUSED`, `SIGNATURE_INVALID`
 */
export function readSigned(
  body: { readonly statement?: unknown; readonly proof: z.output<typeof proof> },
  actor: Actor,
): SignedCredential {
  const statement = parseCredentialStatement(body.statement);
  if (actor.kind === "session" && actor.session.person !== statement.approver) {
    throw new CountersignError("CREDENTIAL_REFUSED", `this session is of "${actor.session.person}"`, {
      hint: `let "${statement.approver}" hand it in`,
    });
  }
  return { statement, proof: proofOf(statement, body.proof, actor) };
}

function proofOf(statement: CredentialStatement, given: z.output<typeof proof>, actor: Actor): Proof {
  switch (given.kind) {
    case "webauthn":
      return { ...given, channel: actor.kind === "session" ? "console" : "api" };
    case "sshsig": {
      const verified = verifySshSignature({
        armoured: given.signature,
        message: credentialBytes(statement),
        namespace: CREDENTIAL_NAMESPACE,
      });
      if (!verified.ok) {
        throw new CountersignError("SIGNATURE_INVALID", verified.error.message, {
          hint: `sign the exact statement bytes: ssh-keygen -Y sign -n ${CREDENTIAL_NAMESPACE}`,
        });
      }
      const { fingerprint } = verified.value;
      return { kind: "sshsig", signature: given.signature, fingerprint, channel: "api" };
    }
    case "session": {
      if (actor.kind !== "session") {
        throw new CountersignError("CREDENTIAL_REFUSED", "there is no session whose word could be taken", {
          hint: "sign the statement",
        });
      }
      const { method, subject, signedInAt } = actor.session;
      return { kind: "session", method, subject, signed_in_at: timestamp(signedInAt), channel: "console" };
    }
  }
}
