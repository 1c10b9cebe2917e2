import { plainReadView } from "../preview/plain-read.ts";
import type { Preview } from "../preview/preview.ts";
import type { Intake } from "./intake.ts";

/** What the plan of an allowed read relies on: nothing. A tool's own preview says something else of itself. */
export const READ_GUARD = "read";

/** An allowed read needs no preview: its plan is its arguments. */
export function readPreview({ received }: Intake): Preview {
  return {
    plan: received.input,
    files: [],
    lease: null,
    guard: READ_GUARD,
    expiresAt: null,
    view: plainReadView(`read by ${received.tool.name}`),
  };
}
