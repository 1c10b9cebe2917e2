import * as z from "zod";
import { time } from "./documents.ts";

/** How far the gateway itself has verified its log, in the background. */
export interface VerificationState {
  /** `failed`: it does not verify. `error`: it could not be looked at. `never`: the first look is still to come. */
  readonly state: "never" | "running" | "ok" | "failed" | "error";
  /** The newest look that ended; while one runs, the one before. */
  readonly last: {
    readonly state: "ok" | "failed" | "error";
    readonly at: string;
    readonly tookMs: number;
    readonly size: number;
    readonly bytes: number;
    /** The first few. */
    readonly findings: readonly {
      readonly code: string;
      readonly severity: "fault" | "notice";
      readonly message: string;
      readonly seq: number | null;
    }[];
    readonly error: string | null;
  } | null;
  readonly startedAt: string | null;
  readonly nextAt: string | null;
}

const result = z.strictObject({
  state: z.enum(["ok", "failed", "error"]),
  at: time,
  tookMs: z.number(),
  size: z.number().int().describe("Entries that were verified."),
  bytes: z.number().int(),
  findings: z.array(
    z.strictObject({
      code: z.string(),
      severity: z.enum(["fault", "notice"]),
      message: z.string(),
      seq: z.number().int().nullable(),
    }),
  ),
  error: z.string().nullable(),
});

export const verification = z
  .strictObject({
    state: z.enum(["never", "running", "ok", "failed", "error"]),
    last: result.nullable(),
    startedAt: time.nullable(),
    nextAt: time.nullable(),
  })
  .meta({ id: "Verification" });
