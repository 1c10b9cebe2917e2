import * as z from "zod";
import { MAX_REF_LENGTH, parseRef } from "../git/ref.ts";
import { variableValue } from "./plan.ts";
import { WORKSPACE_NAME } from "./registration.ts";

const REF_MALFORMED = "that is no name of a branch or tag and no full commit id";

/** What an agent is told where a preview is refused: words of ours, never terraform's (P4). */
export const REFUSALS = {
  unknown_workspace: "no workspace of that name is registered",
  ref_malformed: REF_MALFORMED,
  ref_not_allowed: "the operator does not allow this branch or tag to be planned",
  ref_unknown: "the repository has no such branch or tag",
  ref_ambiguous: "there is a branch and a tag of that name: say refs/heads/… or refs/tags/…",
  commit_unreachable: "no branch or tag that may be planned holds that commit",
  too_many_refs: "the repository has too many branches to look for a commit: name a branch or tag",
  source_unreachable: "the repository could not be reached",
  source_rejected: "what the repository sent was refused",
  source_slow: "the repository took too long to answer",
  source_too_large: "the repository is larger than is fetched",
  directory_missing: "the commit does not have the directory that is registered for the workspace",
  tree_too_large: "the commit holds more files or bytes than are planned",
  file_too_large: "the commit holds a file larger than is planned",
  path_refused: "the commit holds a file whose name or kind is refused",
  symlink_refused: "the commit holds a symbolic link that leaves the repository",
  submodule_refused: "the commit holds a submodule, and those are not fetched",
  object_missing: "an object of the commit could not be read",
  object_forged: "an object of the commit is not what its id says",
  git_unusable: "the gateway has no git that is safe to use; the operator has to look",
  variable_not_declared: "a variable was given that the operator does not let agents set",
  variable_refused: "a variable has a value that the operator does not allow",
  variable_unknown: "a variable was given that the configuration does not have",
  value_missing: "a credential or variable of the operator's is missing; the operator has to look",
  destroy_refused: "the operator does not allow this workspace to be destroyed",
  terraform_missing:
    "terraform not found on the gateway's machine; how to enable it: the operator installs terraform 1.8 or newer, or OpenTofu, for the gateway's account, or sets binary in the workspace's registration",
  terraform_unusable: "the gateway's terraform cannot be used; the operator has to look",
  external_refused:
    "the configuration runs programs, calls web pages or reads another state while it is planned, which the operator does not allow",
  files_refused:
    "the configuration reads files from outside of its repository, which the operator does not allow",
  module_refused: "the configuration uses a module from elsewhere, which the operator does not allow",
  provisioner_refused:
    "the configuration has provisioners, which run commands, and the operator does not allow them",
  provider_refused:
    "the configuration needs a provider that the operator does not allow, or that is not in the mirror",
  backend_refused:
    "the configuration says itself where its state is kept or where it runs, in a way that can't be overruled",
  state_in_repository: "a state file stands in the repository",
  configuration_unreadable: "the configuration has a file that cannot be read with certainty",
  init_failed: "terraform could not prepare the configuration: validate it before you ask again",
  plan_failed: "terraform could not make a plan of this configuration: validate it before you ask again",
  plan_incomplete: "the plan is not complete, so nobody is asked about it",
  plan_slow: "terraform took too long to plan",
  plan_too_large: "the plan is larger than is kept",
  plan_unreadable: "terraform's plan could not be read; the operator has to look",
  state_unreadable: "the state could not be read; the operator has to look",
  workspace_busy: "another plan of this commit is being made; ask again in a minute",
  no_changes: "no changes: the infrastructure is as the configuration says, and there is nothing to apply",
} as const;

/** What an agent may say: never a path, a backend, a program or an option. */
export const inputMembers = {
  workspace: z.string().regex(WORKSPACE_NAME).describe("name of a registered workspace"),
  ref: z
    .string()
    .min(1)
    .max(MAX_REF_LENGTH)
    .regex(/^[^-\s~^:?*[\\\p{Cc}][^\s~^:?*[\\\p{Cc}]*$/u)
    .refine((text) => parseRef(text) !== undefined, REF_MALFORMED)
    .describe("a branch or tag (main, v1.2, refs/tags/v1.2), or a full 40-digit commit id"),
  variables: z
    .record(z.string().max(64), variableValue)
    .default({})
    .describe("terraform variables that the operator lets agents set"),
  destroy: z
    .boolean()
    .default(false)
    .describe("plan to delete everything in the workspace, where the operator allows it"),
};
