import * as z from "zod";
import { later } from "../base/later.ts";
import { parseTimestamp } from "../base/clock.ts";
import { isId, type GrantId, type RequestId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import type { SettlementStatement } from "./settlement.ts";

/** The longest words about an outcome; they stand in an entry. */
export const MAX_SETTLEMENT_CHARS = 2_000;

const schema = later(() =>
  z
    .strictObject({
      typ: z.literal("countersign.settlement"),
      v: z.literal(1),
      log: z.string().min(1).max(64),
      request: z.custom<RequestId>(
        (id) => typeof id === "string" && isId("req", id),
        "expected req_ and a ULID",
      ),
      grant: z.custom<GrantId>((id) => typeof id === "string" && isId("grt", id), "expected grt_ and a ULID"),
      outcome: z.enum(["done", "failed"]),
      again: z.boolean(),
      message: z.string().min(1).max(MAX_SETTLEMENT_CHARS),
      approver: z.string().min(1).max(128),
      issued_at: z
        .string()
        .refine((text) => !Number.isNaN(parseTimestamp(text)), "expected a UTC timestamp with milliseconds"),
    })
    .refine(({ again, outcome }) => !again || outcome === "failed", {
      path: ["again"],
      message: "what ran is not asked for again",
    }),
);

/**
 * A settlement as it came from outside.
 * @throws CountersignError `DECISION_REFUSED` naming the field
 */
export function parseSettlement(value: unknown): SettlementStatement {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CountersignError(
    "DECISION_REFUSED",
    `the settlement is malformed at /${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`,
    { hint: "take the statement from the gateway as it is" },
  );
}
