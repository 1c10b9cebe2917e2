import * as z from "zod";

const hex40 = z.string().regex(/^[0-9a-f]{40}$/);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
export const variableValue = z.union([z.string().max(1_000), z.number(), z.boolean()]);

/** The sealed plan: what terraform's own saved plan, sealed beside it, has to run with, and nowhere else. */
export const planSchema = z.strictObject({
  v: z.literal(1),
  workspace: z.string(),
  environment: z.string(),
  /** As the agent named it; what it stood for is the lines below. */
  requested: z.string(),
  ref: z.string(),
  commit: hex40,
  /** Digest of the registration: repository, directory, backend, terraform workspace, credentials. */
  registration: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  /** sha256 over the list of all files of the checkout with their sha256. */
  manifest: hex64,
  variables: z.record(z.string(), variableValue),
  destroy: z.boolean(),
  /** Version of terraform that planned. */
  terraform: z.string(),
  /** State that the plan stands on. */
  state: z.strictObject({ lineage: z.string(), serial: z.int().nonnegative() }),
  /** The saved plan. */
  file: z.strictObject({ sha256: hex64, bytes: z.int().positive() }),
  counts: z.strictObject({
    create: z.int(),
    update: z.int(),
    replace: z.int(),
    delete: z.int(),
    forget: z.int(),
  }),
  /** Name under which the mirror holds the objects. */
  held: z.string(),
  guard: z.string(),
});
export type InfraPlan = z.infer<typeof planSchema>;

export const outputSchema = z.strictObject({
  workspace: z.string(),
  environment: z.string(),
  commit: z.string(),
  added: z.number().int(),
  changed: z.number().int(),
  destroyed: z.number().int(),
  outputs: z.record(z.string(), z.string()).describe("outputs as JSON; those that are sensitive are masked"),
  serial: z.number().int().describe("serial of the state afterwards"),
});
export type ApplyOutput = z.infer<typeof outputSchema>;
