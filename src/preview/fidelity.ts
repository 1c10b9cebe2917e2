/**
 * How good a preview is.
 * exact: the artifact is the change · pinned: the backend refuses if the world moved · checked: re-read just before,
 * a small race remains · estimated: numbers may differ · none: arguments only.
 */
export type Fidelity = "exact" | "pinned" | "checked" | "estimated" | "none";
export const FIDELITIES = [
  "exact",
  "pinned",
  "checked",
  "estimated",
  "none",
] as const satisfies readonly Fidelity[];
