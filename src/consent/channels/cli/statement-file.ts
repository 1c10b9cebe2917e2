import { z } from "zod";
import { parseTimestamp } from "../../../base/clock.ts";
import { isDigest, type Digest } from "../../../base/digest.ts";
import { CountersignError } from "../../../errors.ts";
import { adoptionBytes } from "../../../policy/adoption-statement.ts";
import type { AdoptionStatement } from "../../../policy/entries.ts";
import { statementBytes, type Statement } from "../../statement.ts";

// A statement on its way to a key on another machine and back. The file holds exactly the bytes that are signed, which
// contain the statement, so file and signature are all that has to come back.

const digest = z.custom<Digest>(isDigest, "not a digest");
const time = z.string().refine((text) => !Number.isNaN(parseTimestamp(text)), "not a time");
const person = z.string().min(1).max(64);

const statementSchema = z.strictObject({
  typ: z.literal("countersign.decision"),
  v: z.literal(1),
  decision: z.enum(["approve", "deny", "take_back"]),
  question: digest,
  summary: z.string(),
  approver: person,
  solo: z.boolean(),
  reason: z.string().nullable(),
  takes_back: digest.nullable(),
  log: z.strictObject({ size: z.number().int().nonnegative(), root: digest }).nullable(),
  issued_at: time,
});

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
 * @throws CountersignError `SIGNATURE_INVALID`
 */
export const parseStatementFile = (bytes: Uint8Array): Statement =>
  parse(bytes, statementSchema as z.ZodType<Statement>, statementBytes, "decision");

/**
 * The adoption inside a statement file.
 * @throws CountersignError `SIGNATURE_INVALID`
 */
export const parseAdoptionFile = (bytes: Uint8Array): AdoptionStatement =>
  parse(bytes, adoptionSchema as z.ZodType<AdoptionStatement>, adoptionBytes, "adoption");

function parse<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  write: (statement: T) => Uint8Array,
  what: string,
): T {
  const text = Buffer.from(bytes).toString("utf8");
  const body = text.slice(text.indexOf("\n") + 1);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw malformed(what, cause);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw malformed(what, parsed.error);
  // Anything that reads the same but is not the same bytes would verify nowhere else.
  if (!Buffer.from(write(parsed.data)).equals(Buffer.from(bytes))) throw malformed(what);
  return parsed.data;
}

function malformed(what: string, cause?: unknown): CountersignError {
  return new CountersignError("SIGNATURE_INVALID", `this is not the statement of a ${what}, byte for byte`, {
    hint: "hand in the file that --print-statement wrote, unchanged",
    cause,
  });
}
