import * as z from "zod";
import { parseTimestamp } from "../../../base/clock.ts";
import { isDigest, type Digest } from "../../../base/digest.ts";
import { CountersignError } from "../../../errors.ts";
import type { AdoptionStatement } from "../../../policy/entries.ts";
import type { Proof } from "../../entries.ts";
import { parseStatement } from "../../parse-statement.ts";
import { statementBytes, type Statement } from "../../statement.ts";

// A statement on its way to a key on another machine and back. The file holds exactly the bytes that are signed, which
// contain the statement, so file and signature are all that has to come back.

const digest = z.custom<Digest>(isDigest, "not a digest");
const time = z.string().refine((text) => !Number.isNaN(parseTimestamp(text)), "not a time");
const person = z.string().min(1).max(64);

const revision = z.strictObject({ policy: digest, registry: digest });
const adoptionSchema = z.strictObject({
  typ: z.literal("countersign.adoption"),
  v: z.literal(1),
  log: z.string(),
  from: revision,
  to: revision,
  approver: person,
  issued_at: time,
});

/**
 * The decision inside a statement file. Only bytes that {@link statementBytes} would produce again are taken.
 * @throws CountersignError `SIGNATURE_INVALID`, `DECISION_REFUSED` naming the field
 */
export function parseStatementFile(bytes: Uint8Array): Statement {
  const text = Buffer.from(bytes).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text.slice(text.indexOf("\n") + 1));
  } catch (cause) {
    throw malformed(cause);
  }
  const statement = parseStatement(value);
  // Anything that reads the same but is not the same bytes would verify nowhere else.
  if (!Buffer.from(statementBytes(statement)).equals(Buffer.from(bytes))) throw malformed();
  return statement;
}

function malformed(cause?: unknown): CountersignError {
  return new CountersignError("SIGNATURE_INVALID", "this is not the statement of a decision, byte for byte", {
    hint: "hand in the file that --print-statement wrote, unchanged",
    cause,
  });
}

export interface SignedAdoption {
  readonly statement: AdoptionStatement;
  readonly proof: Proof;
}

const signedAdoptionSchema = z.strictObject({
  statement: adoptionSchema,
  proof: z.strictObject({
    kind: z.literal("sshsig"),
    signature: z.string().max(16_384),
    fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/),
    channel: z.enum(["cli", "api"]),
  }),
});

/**
 * A person's signed adoption, as `policy adopt --save` writes it. Whether it verifies is for the adoption to say.
 * @throws CountersignError `SIGNATURE_INVALID`
 */
export function parseSignedAdoption(text: string): SignedAdoption {
  try {
    return signedAdoptionSchema.parse(JSON.parse(text)) as SignedAdoption;
  } catch (cause) {
    throw new CountersignError("SIGNATURE_INVALID", "this is not a signed adoption", {
      hint: "hand in a file that countersign policy adopt --save wrote",
      cause,
    });
  }
}
