import * as z from "zod";
import { parseTimestamp } from "../base/clock.ts";
import { CountersignError } from "../errors.ts";
import type { CredentialStatement } from "./credential-statement.ts";

const schema = z.strictObject({
  typ: z.literal("countersign.credential"),
  v: z.literal(1),
  log: z.string().max(64),
  action: z.enum(["invite", "add", "remove"]),
  person: z.string().min(1).max(80),
  credential: z.string().min(1).max(1_400).nullable(),
  public_key: z.string().min(1).max(2_000).nullable(),
  nonce: z.string().regex(/^[0-9a-f]{64}$/),
  approver: z.string().min(1).max(80),
  issued_at: z
    .string()
    .refine((text) => !Number.isNaN(parseTimestamp(text)), "expected a UTC timestamp with milliseconds"),
});

/**
 * A statement about credentials as it came from outside.
 * @throws CountersignError `CREDENTIAL_REFUSED` naming the field
 */
export function parseCredentialStatement(value: unknown): CredentialStatement {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CountersignError(
    "CREDENTIAL_REFUSED",
    `the statement is malformed at /${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`,
    { hint: "sign the statement as the gateway drafted it" },
  );
}
