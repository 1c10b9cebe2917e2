import * as z from "zod";

// The parts of `terraform show -json PLAN` that are read (JSON output format 1.x). Members that are not named here are
// dropped; `variables`, `planned_values` and `prior_state` hold every secret in clear and are never passed on.

const change = z.object({
  actions: z.array(z.enum(["no-op", "create", "read", "update", "delete", "forget"])).min(1),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
  after_unknown: z.unknown().optional(),
  before_sensitive: z.unknown().optional(),
  after_sensitive: z.unknown().optional(),
  replace_paths: z.array(z.array(z.union([z.string(), z.number()]))).optional(),
  importing: z.object({ id: z.string().optional() }).optional(),
});
export type PlanChange = z.infer<typeof change>;

const resourceChange = z.object({
  address: z.string(),
  previous_address: z.string().optional(),
  mode: z.string().optional(),
  type: z.string().optional(),
  deposed: z.string().optional(),
  change,
  action_reason: z.string().optional(),
});
export type ResourceChange = z.infer<typeof resourceChange>;

const configuredModule: z.ZodType<ConfiguredModule> = z.lazy(() =>
  z.object({
    resources: z
      .array(
        z.object({
          address: z.string(),
          mode: z.string().optional(),
          type: z.string().optional(),
          provisioners: z
            .array(z.object({ type: z.string(), expressions: z.record(z.string(), z.unknown()).optional() }))
            .optional(),
        }),
      )
      .optional(),
    variables: z.record(z.string(), z.object({ sensitive: z.boolean().optional() })).optional(),
    module_calls: z.record(z.string(), z.object({ module: configuredModule.optional() })).optional(),
  }),
);
export interface ConfiguredModule {
  readonly resources?:
    | readonly {
        readonly address: string;
        readonly mode?: string | undefined;
        readonly type?: string | undefined;
        readonly provisioners?:
          | readonly {
              readonly type: string;
              readonly expressions?: Readonly<Record<string, unknown>> | undefined;
            }[]
          | undefined;
      }[]
    | undefined;
  readonly variables?: Readonly<Record<string, { readonly sensitive?: boolean | undefined }>> | undefined;
  readonly module_calls?:
    Readonly<Record<string, { readonly module?: ConfiguredModule | undefined }>> | undefined;
}

export const planJsonSchema = z.object({
  format_version: z.string().regex(/^1\./),
  terraform_version: z.string().max(64),
  resource_changes: z.array(resourceChange).default([]),
  resource_drift: z.array(resourceChange).default([]),
  output_changes: z.record(z.string(), change).default({}),
  configuration: z.object({ root_module: configuredModule.default({}) }).default({ root_module: {} }),
  applyable: z.boolean().optional(),
  complete: z.boolean().optional(),
  errored: z.boolean().optional(),
  deferred_changes: z.array(z.unknown()).optional(),
  checks: z
    .array(
      z.object({
        status: z.string().optional(),
        address: z.object({ to_display: z.string().optional() }).optional(),
      }),
    )
    .optional(),
});
export type PlanJson = z.infer<typeof planJsonSchema>;

/** What is done with a resource. */
export type Op = "create" | "update" | "replace" | "delete" | "forget" | "read" | "none";

export function opOf({ change: { actions } }: Pick<ResourceChange, "change">): Op {
  if (actions.length > 1)
    return actions.includes("delete") || actions.includes("forget") ? "replace" : "update";
  const [only] = actions;
  return only === undefined || only === "no-op" ? "none" : only;
}

/** Every module of the configuration, the root first. */
export function* allModules(
  root: ConfiguredModule,
  path = "",
): Generator<{ readonly path: string; readonly module: ConfiguredModule }> {
  yield { path, module: root };
  for (const [name, call] of Object.entries(root.module_calls ?? {})) {
    if (call.module !== undefined) yield* allModules(call.module, `${path}module.${name}.`);
  }
}
