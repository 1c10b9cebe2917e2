import { join } from "node:path";
import * as z from "zod";
import type { Json } from "../../src/base/canonical-json.ts";
import { defineTool, type Tool } from "../../src/tool.ts";
import { executeDeploy, reconcileDeploy, revokeDeploy } from "./execute.ts";
import { createGit } from "../git/git.ts";
import { pruneMirror } from "../git/mirror-room.ts";
import { outputSchema, planSchema, undoSchema } from "./plan.ts";
import { previewDeploy } from "./preview.ts";
import { MAX_REF_LENGTH, parseRef } from "../git/ref.ts";
import { SERVICE_NAME, type ServiceRegistration } from "./registration.ts";
import {
  DEFAULT_DEPLOY_LIMITS,
  findService,
  guardNow,
  type DeployLimits,
  type DeployParts,
} from "./service.ts";

export { serviceRegistration, SERVICE_NAME, type ServiceRegistration } from "./registration.ts";
export { DEFAULT_DEPLOY_LIMITS, type DeployLimits } from "./service.ts";

export interface DeployServiceOptions {
  /** Parsed by `serviceRegistration`, by name. */
  readonly services: Readonly<Record<string, ServiceRegistration>>;
  /** Directory of the tool's own, for mirrors and command output; 0700. */
  readonly stateDir: string;
  /** The git program; default `git`, from the system's directories. */
  readonly git?: string;
  /** Variables that health commands may be given, by the names in their allowlist. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly limits?: Partial<DeployLimits>;
}

const REFUSALS = {
  unknown_service: "no service of that name is registered",
  ref_malformed: "that is no name of a branch or tag and no full commit id",
  ref_not_allowed: "the operator does not allow this branch or tag to be deployed",
  ref_unknown: "the repository has no such branch or tag",
  ref_ambiguous: "there is a branch and a tag of that name: say refs/heads/… or refs/tags/…",
  commit_unreachable: "no branch or tag that may be deployed holds that commit",
  too_many_refs: "the repository has too many branches to look for a commit: name a branch or tag",
  source_unreachable: "the repository could not be reached",
  source_rejected: "what the repository sent was refused",
  source_slow: "the repository took too long to answer",
  source_too_large: "the repository is larger than is fetched",
  directory_missing: "the commit does not have the directory that is registered for the service",
  tree_too_large: "the commit holds more files or bytes than are deployed",
  file_too_large: "the commit holds a file larger than is deployed",
  path_refused: "the commit holds a file whose name or kind is not deployed",
  symlink_refused: "the commit holds a symbolic link that leaves the release",
  submodule_refused: "the commit holds a submodule, and those are not deployed",
  object_missing: "an object of the commit could not be read",
  object_forged: "an object of the commit is not what its id says",
  releases_unsafe: "the release directory is not safe to use; the operator has to look",
  current_unmanaged: "what is served now is not a release; the operator has to look",
  current_too_large: "the current release holds more files than are compared",
  git_unusable: "the gateway has no git that is safe to use; the operator has to look",
} as const;

/**
 * `deploy_service`: puts a commit of a registered repository into service, by a release directory and one switched link.
 * The agent names a registered service and a branch, tag or commit; everything else is the operator's.
 */
export function createDeployService(options: DeployServiceOptions): Tool {
  const parts = deployParts(options);
  return defineTool({
    name: "deploy_service",
    title: "Deploy a service",
    description:
      "Deploys a commit of a registered service: fetches the branch, tag or commit, writes it as a new release and " +
      "switches the service to it. If the service's health command fails, it is switched back.",
    input: z.strictObject({
      service: z.string().regex(SERVICE_NAME).describe("name of a registered service"),
      ref: z
        .string()
        .min(1)
        .max(MAX_REF_LENGTH)
        .regex(/^[^-\s~^:?*[\\\p{Cc}][^\s~^:?*[\\\p{Cc}]*$/u)
        .refine((text) => parseRef(text) !== undefined, REFUSALS.ref_malformed)
        .describe("a branch or tag (main, v1.2, refs/tags/v1.2), or a full 40-digit commit id"),
    }),
    output: outputSchema,
    plan: planSchema,
    undo: undoSchema,
    effect: "write",
    idempotent: false,
    refusals: REFUSALS,
    targets(input) {
      const { name, registration } = findService(parts, input.service);
      return [{ kind: "service", id: name, environment: registration.environment }];
    },
    registration: (input) => findService(parts, input.service).registration as Json,
    preview: (input, ctx) => previewDeploy(parts, input, ctx),
    guard: (plan, ctx) => guardNow(parts, plan, ctx),
    execute: (plan, ctx) => executeDeploy(parts, plan, ctx),
    revoke: (undo, ctx) => revokeDeploy(parts, undo, ctx),
    reconcile: (plan, ctx) => reconcileDeploy(parts, plan, ctx),
  });
}

/**
 * Gives back the room of requests that were made before `olderThan` (epoch ms), in all mirrors. For the steward, now
 * and then; plans live for a day, so two days is safe.
 */
export async function sweepDeployMirrors(
  options: DeployServiceOptions & { readonly olderThan: number; readonly signal: AbortSignal },
): Promise<void> {
  const { git, stateDir, services } = deployParts(options);
  await git.ensureUsable(options.signal);
  for (const name of Object.keys(services)) {
    await pruneMirror(git, join(stateDir, "mirrors", `${name}.git`), options.olderThan, options.signal);
  }
}

function deployParts(options: DeployServiceOptions): DeployParts {
  const limits = { ...DEFAULT_DEPLOY_LIMITS, ...options.limits };
  const { services, stateDir } = options;
  return {
    services,
    stateDir,
    limits,
    env: options.env ?? {},
    git: createGit({ binary: options.git ?? "git", stateDir, timeoutMs: limits.gitTimeoutMs }),
  };
}
