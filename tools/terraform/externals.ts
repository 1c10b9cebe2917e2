/** What a configuration may hold only where the operator says so, under `allow_external`. */
export const EXTERNALS = ["data", "provisioners", "programs", "state", "files", "modules"] as const;
export type External = (typeof EXTERNALS)[number];
