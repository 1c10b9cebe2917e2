import * as z from "zod";
import { isDigest, type Digest } from "../base/digest.ts";
import { parseTimestamp } from "../base/clock.ts";
import { CountersignError } from "../errors.ts";
import type { Statement } from "./statement.ts";

/** The longest reason a person may give; it stands in an entry. */
export const MAX_REASON_CHARS = 2_000;

const digest = z.custom<Digest>(isDigest, "expected sha256: and 64 hex digits");
const time = z
  .string()
  .refine((text) => !Number.isNaN(parseTimestamp(text)), "expected a UTC timestamp with milliseconds");

const schema = z
  .strictObject({
    typ: z.literal("countersign.decision"),
    v: z.literal(1),
    decision: z.enum(["approve", "deny", "take_back"]),
    question: digest,
    summary: z.string().max(1_000),
    approver: z.string().min(1).max(128),
    solo: z.boolean(),
    reason: z.string().max(MAX_REASON_CHARS).nullable(),
    fixable: z.literal(true).optional(),
    takes_back: digest.nullable(),
    log: z.strictObject({ size: z.number().int().nonnegative(), root: digest }).nullable(),
    issued_at: time,
  })
  .refine((statement) => statement.fixable === undefined || statement.decision === "deny", {
    path: ["fixable"],
    message: "only a deny can be fixable",
  });

/**
 * A statement as it came from outside.
 * @throws CountersignError `DECISION_REFUSED` naming the field
 */
export function parseStatement(value: unknown): Statement {
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    const { fixable, ...rest } = parsed.data;
    return fixable === undefined ? rest : { ...rest, fixable };
  }
  const issue = parsed.error.issues[0];
  throw new CountersignError(
    "DECISION_REFUSED",
    `the statement is malformed at /${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`,
    { hint: "take the statement from the gateway as it is: countersign show <request> --json" },
  );
}
