import * as z from "zod";
import { digestJson } from "../../src/base/digest.ts";

const hex40 = z.string().regex(/^[0-9a-f]{40}$/);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const command = z.strictObject({
  run: z.array(z.string()).min(1),
  timeout: z.int().positive(),
  env: z.array(z.string()),
});
const release = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/);

/** The sealed plan: all that `execute` works from. The files stand in the sealed manifest, their bytes in the mirror. */
export const planSchema = z.strictObject({
  v: z.literal(1),
  service: z.string(),
  environment: z.string(),
  /** As the agent named it; what it stood for is the three lines below. */
  requested: z.string(),
  ref: z.string(),
  oid: hex40,
  commit: hex40,
  tree: hex40,
  /** Digest of the registration, from which `root`, `keep`, `check` and `health` were taken. */
  registration: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  root: z.string(),
  previous: z.strictObject({ release, link: z.string(), digest: hex64 }).nullable(),
  release,
  keep: z.int().min(2),
  check: command.nullable(),
  health: command.nullable(),
  manifest: z.strictObject({ sha256: hex64, files: z.int().nonnegative(), bytes: z.int().nonnegative() }),
  /** Name under which the mirror holds the objects. */
  held: z.string(),
  guard: z.string(),
});
export type DeployPlan = z.infer<typeof planSchema>;

/** What a revoke needs; complete before the deploy runs. */
export const undoSchema = z.strictObject({
  v: z.literal(1),
  service: z.string(),
  root: z.string(),
  release,
  previous: z.strictObject({ release, link: z.string() }).nullable(),
  health: command.nullable(),
});
export type DeployUndo = z.infer<typeof undoSchema>;

export const outputSchema = z.strictObject({
  service: z.string(),
  environment: z.string(),
  release: z.string(),
  commit: z.string(),
  previous: z.string().nullable().describe("the release that was current before; null for a first deploy"),
  files: z.number().int(),
  bytes: z.number().int(),
  health: z.enum(["passed", "not_registered"]),
  removed: z.array(z.string()).describe("old releases that were removed"),
});
export type DeployOutput = z.infer<typeof outputSchema>;

/** What a plan relies on. */
export interface DeployFacts {
  readonly registration: string;
  readonly root: string;
  readonly ref: string;
  readonly oid: string;
  /** Digest of what is served; null where nothing is. */
  readonly current: string | null;
}

export const guardOf = (facts: DeployFacts): string => digestJson("inputs", facts);

/** `20261121-101500-4f2a91c0d3ab-x7k2qd`: time (UTC), commit and request, so that names sort and never meet. */
export function releaseId(epochMs: number, commit: string, requestId: string): string {
  const time = new Date(epochMs).toISOString().replaceAll(/[-:]/g, "").replace("T", "-").slice(0, 15);
  return `${time}-${commit.slice(0, 12)}-${requestId
    .slice(-6)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "0")}`;
}
