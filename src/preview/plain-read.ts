import type { ToolView } from "./view.ts";

/** The view of a read of which there is nothing to show but that it reads. */
export const plainReadView = (summary: string): ToolView => ({
  summary,
  verb: "READ",
  changes: [],
  counts: {},
  facts: {},
  warnings: [],
  documents: [],
  complete: true,
  reversible: "nothing is changed",
  fidelity: "exact",
});
