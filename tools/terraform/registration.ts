import * as z from "zod";
import { later } from "../../src/base/later.ts";
import { digestJson, type Digest } from "../../src/base/digest.ts";
import { parseDuration } from "../../src/base/duration.ts";
import {
  absolutePath,
  accessProblems,
  directoryPath,
  environmentName,
  repositoryMembers,
} from "../git/repository.ts";
import { EXTERNALS } from "./externals.ts";

// A workspace as the operator registers it, under `workspaces:` in countersign.yaml. The agent names the workspace, a
// ref, and variables that are declared here; everything else (path, backend, credentials, program) is the operator's.

/** A workspace name: the key under `workspaces:` and the agent's `workspace` argument. */
export const WORKSPACE_NAME = /^[a-z][a-z0-9-]{0,40}$/;

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Where a value comes from: written here, or from the gateway's environment or a file of the operator's. */
const valueSource = later(() =>
  z
    .strictObject({
      value: z.union([z.string().max(4_096), z.number(), z.boolean()]).optional(),
      /** Name of a variable of the gateway's own environment. */
      env: z.string().regex(ENV_NAME, "the name of a variable is expected").optional(),
      /** Absolute path of a file; one line break at its end is dropped. */
      file: absolutePath.optional(),
    })
    .refine(
      (source) => Object.values(source).filter((one) => one !== undefined).length === 1,
      "one of value, env and file is expected",
    ),
);
export type ValueSource = z.infer<typeof valueSource>;

// What would change how terraform itself runs, or which code it loads. TF_TOKEN_* and the http backend's are credentials.
const FORBIDDEN_ENV =
  /^(?:TF_(?!TOKEN_|HTTP_(?:USERNAME|PASSWORD)$|ENCRYPTION$).*|LD_.*|DYLD_.*|HOME|PATH|PWD|GODEBUG|CHECKPOINT_DISABLE|TMPDIR)$/;
const variables = later(() =>
  z
    .record(
      z
        .string()
        .regex(ENV_NAME, "the name of an environment variable is expected")
        .refine(
          (name) => !FORBIDDEN_ENV.test(name),
          "a variable that would change terraform itself is not passed on",
        ),
      valueSource,
    )
    .default({}),
);

const VARIABLE = /^[\p{ID_Start}_][\p{ID_Continue}-]{0,63}$/u;
const variableName = later(() => z.string().regex(VARIABLE, "the name of a terraform variable is expected"));

const pattern = later(() =>
  z
    .string()
    .max(500)
    .refine((text) => {
      try {
        return new RegExp(`^(?:${text})$`, "u").test("") || true;
      } catch {
        return false;
      }
    }, "a regular expression is expected"),
);

const describes = { description: z.string().max(300).default("") };
const variable = later(() =>
  z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("string"),
      /** The whole value has to match. */
      pattern: pattern.optional(),
      one_of: z.array(z.string().max(1_000)).min(1).max(200).optional(),
      max_length: z.int().min(1).max(1_000).default(256),
      ...describes,
    }),
    z.strictObject({
      type: z.literal("number"),
      min: z.number().optional(),
      max: z.number().optional(),
      ...describes,
    }),
    z.strictObject({ type: z.literal("bool"), ...describes }),
  ]),
);
export type DeclaredVariable = z.infer<typeof variable>;

const duration = (fallback: string, atMostMs: number): z.ZodType<number, string | undefined> =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined && ms <= atMostMs) return ms;
      context.addIssue({
        code: "custom",
        message: `a duration of at most ${atMostMs / 60_000}m is expected, such as 30s`,
      });
      return z.NEVER;
    });

const scalar = later(() => z.union([z.string().max(4_096), z.number(), z.boolean()]));

/** One entry under `workspaces:`. */
export const workspaceRegistration = later(() =>
  z
    .strictObject({
      description: z.string().max(500).default(""),
      ...repositoryMembers,
      /** Directory of the root module inside the repository; its top where absent. */
      directory: directoryPath.optional(),
      /** What policy sees as the environment of the target. */
      environment: environmentName,
      /** The terraform workspace that is selected. It has to exist in the backend. */
      workspace: z
        .string()
        .regex(/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,89}$/, "the name of a terraform workspace is expected")
        .default("default"),
      /** Where the state is. Laid over whatever the configuration says. */
      backend: z.union([
        z.strictObject({
          local: absolutePath.refine((path) => path !== "/", "the path of a state file is expected"),
        }),
        z.strictObject({
          type: z
            .string()
            .regex(/^(?!local$|remote$)[a-z][a-z0-9_]{0,40}$/, "a backend type such as s3 is expected"),
          /** No secrets: these stand in the plan. Credentials belong to `env`. */
          config: z
            .record(
              z.string().regex(/^[a-z][a-z0-9_]{0,60}$/),
              z.union([scalar, z.record(z.string(), scalar)]),
            )
            .default({}),
        }),
      ]),
      /** `terraform`, `tofu`, or an absolute path. A bare name is looked up in the system's directories. */
      binary: z.union([z.enum(["terraform", "tofu"]), absolutePath]).default("terraform"),
      /** Which provider plugins may be installed, and where from. Plugins are programs. */
      providers: z
        .strictObject({
          /** `hashicorp/aws`, or with a host. Nothing else is installed. */
          allow: z
            .array(
              z
                .string()
                .regex(
                  /^(?:[a-z0-9.-]+\/)?[a-z0-9_-]+\/[a-z0-9_-]+$/,
                  "a provider such as hashicorp/aws is expected",
                ),
            )
            .max(50)
            .default([]),
          /** A filesystem mirror; absent: the providers' own registry. */
          mirror: absolutePath.optional(),
          /** A directory in which installed plugins are kept for all runs. */
          cache: absolutePath.optional(),
        })
        .default({ allow: [] }),
      /** A CLI configuration of the operator's own, instead of `providers`. */
      cli_config: absolutePath.optional(),
      /** Variables that the agent may set. */
      variables: z.record(variableName, variable).default({}),
      /** Variables that are set by the operator. */
      set: z.record(variableName, valueSource).default({}),
      /** Environment of terraform and its providers, while planning and while applying. */
      env: variables,
      /** Added while planning: credentials that can only read. */
      plan_env: variables,
      /** Added while applying. */
      apply_env: variables,
      /** What the configuration may hold besides resources: see docs/tools/terraform.md. */
      allow_external: z.array(z.enum(EXTERNALS)).max(EXTERNALS.length).default([]),
      /** Whether the agent may ask for a plan that destroys everything. */
      allow_destroy: z.boolean().default(false),
      /** Plan once more before an approved plan is applied, and compare. */
      drift_check: z.boolean().default(true),
      /** Time for one terraform command while planning. */
      plan_timeout: duration("110s", 3_600_000),
      /** Time that terraform has to stop by itself after it was interrupted. */
      stop_grace: duration("30s", 600_000),
    })
    .superRefine((entry, context) => {
      const issue = (path: (string | number)[], message: string): void =>
        context.addIssue({ code: "custom", path, message });
      for (const { key, message } of accessProblems(entry)) issue([key], message);
      if ("local" in entry.backend && entry.workspace !== "default") {
        issue(
          ["workspace"],
          "a local state file is one workspace: leave it out, and register a path for each",
        );
      }
      if (
        entry.cli_config !== undefined &&
        (entry.providers.mirror !== undefined || entry.providers.allow.length > 0)
      ) {
        issue(
          ["cli_config"],
          "either cli_config or providers is expected: the file says where plugins come from",
        );
      }
      for (const name of Object.keys(entry.set)) {
        if (Object.hasOwn(entry.variables, name))
          issue(["set", name], "a variable is set by the agent or by you, not both");
      }
      for (const [i, name] of entry.providers.allow.entries()) {
        if (/(?:^|\/)hashicorp\/(?:external|http)$/.test(name) && !entry.allow_external.includes("data")) {
          issue(
            ["providers", "allow", i],
            "it runs what the configuration says while planning: add data to allow_external, or leave it out",
          );
        }
      }
      for (const [name, one] of Object.entries(entry.variables)) {
        if (one.type === "number" && one.min !== undefined && one.max !== undefined && one.min > one.max) {
          issue(["variables", name, "min"], "at most max is expected");
        }
      }
    }),
);
export type WorkspaceRegistration = z.infer<typeof workspaceRegistration>;

/** Digest of a registration: an approval never moves to another (design §11). */
export const workspaceDigest = (registration: WorkspaceRegistration): Digest =>
  digestJson("registry", registration);
