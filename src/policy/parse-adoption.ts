import * as z from "zod";
import { isDigest, type Digest } from "../base/digest.ts";
import { parseTimestamp } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { AdoptionStatement } from "./entries.ts";

const digest = z.custom<Digest>(isDigest, "expected sha256: and 64 hex digits");
const bound = z.strictObject({ policy: digest, registry: digest });
const schema = z.strictObject({
  typ: z.literal("countersign.adoption"),
  v: z.literal(1),
  log: z.string().max(128),
  from: bound,
  to: bound,
  approver: z.string().min(1).max(128),
  issued_at: z
    .string()
    .refine((text) => !Number.isNaN(parseTimestamp(text)), "expected a UTC timestamp with milliseconds"),
});

/** An adoption statement as it came from outside; the error names the field. */
export function parseAdoption(value: unknown): Result<AdoptionStatement, string> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const issue = parsed.error.issues[0];
  return err(`/${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`);
}
