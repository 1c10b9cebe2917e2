import type { Preview } from "../preview/preview.ts";
import type { Intake } from "./intake.ts";

/** An allowed read needs no preview: its plan is its arguments. */
export function readPreview({ received }: Intake): Preview {
  return {
    plan: received.input,
    files: [],
    lease: null,
    guard: "read",
    expiresAt: null,
    view: {
      summary: `read by ${received.tool.name}`,
      verb: "READ",
      changes: [],
      counts: {},
      facts: {},
      warnings: [],
      documents: [],
      complete: true,
      reversible: "nothing is changed",
      fidelity: "exact",
    },
  };
}
