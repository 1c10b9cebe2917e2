import type { z } from "zod";
import { timestamp } from "../../base/clock.ts";
import { verifySshSignature } from "../../base/sshsig.ts";
import { err, ok, type Result } from "../../base/result.ts";
import type { Proof, SessionProof } from "../../consent/entries.ts";
import type { PersonId } from "../../request/principal.ts";
import { personOf, type Actor, type Session } from "./actor.ts";
import type { proofBody } from "./documents.ts";
import { problem, type Problem } from "./problem.ts";

/** What was signed, as far as taking a proof needs it. */
export interface SignedHere {
  readonly bytes: Uint8Array;
  readonly namespace: string;
  readonly approver: PersonId;
}

/**
 * The proof to hand on, from what came in and who sent it. Whose it is and what it shows, the desk says. A session
 * hands in its own person's statements only, and its own word is made here and never read from a body.
 */
export function proofOf(
  actor: Actor,
  signed: SignedHere,
  body: z.output<typeof proofBody>,
): Result<Proof, Problem> {
  const person = personOf(actor);
  if (person !== null && person !== signed.approver) {
    return err(problem("wrong_person", `this session is of "${person}"`));
  }
  switch (body.kind) {
    case "session":
      return actor.kind === "session" ? ok(sessionProof(actor.session)) : err(problem("needs_session"));
    case "webauthn":
      return ok({ ...body, channel: actor.kind === "session" ? "console" : "api" });
    case "sshsig": {
      const { bytes: message, namespace } = signed;
      const verified = verifySshSignature({ armoured: body.signature, message, namespace });
      if (!verified.ok) return err(problem("invalid_signature", verified.error.message));
      const { fingerprint } = verified.value;
      return ok({ kind: "sshsig", signature: body.signature, fingerprint, channel: "api" });
    }
  }
}

/** The gateway's own word that this session said so. */
export const sessionProof = (session: Session): SessionProof => ({
  kind: "session",
  method: session.method,
  signed_in_at: timestamp(session.signedInAt),
  subject: session.subject,
  channel: "console",
});
