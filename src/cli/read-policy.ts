import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { formatSourceError, type SourceError } from "../base/yaml.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Policy, ToolFacts } from "../policy/policy.ts";
import { flagsOf, type Cli } from "./context.ts";

export interface ReadPolicy {
  /** As messages name it. */
  readonly file: string;
  readonly policy: Policy | null;
  readonly errors: readonly SourceError[];
  readonly notes: readonly SourceError[];
  /** Undefined: the built-in ones. */
  readonly tools: readonly ToolFacts[] | undefined;
}

/**
 * The policy at `named`, else the policy file of the home. No home has to exist.
 * @throws CountersignError `POLICY_INVALID` where no file can be read
 */
export async function readPolicy(cli: Cli, command: Command, named: string | undefined): Promise<ReadPolicy> {
  const { cwd } = cli.parts.around;
  const path =
    named === undefined
      ? (await cli.settings(flagsOf(command), { exists: false })).policyFile
      : resolve(cwd, named);
  const near = relative(cwd, path);
  const file = near === "" || near.startsWith("..") ? path : near;
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new CountersignError("POLICY_INVALID", `${file} cannot be read`, {
      hint: "name the file: countersign policy check FILE; or the home: --home DIR",
      cause,
    });
  });
  const tools = await toolsOf(cli, command);
  const loaded = cli.parts.policyTools.load(text, file, tools);
  return loaded.ok
    ? { file, policy: loaded.value.policy, errors: [], notes: loaded.value.notes, tools }
    : { file, policy: null, errors: loaded.error, notes: [], tools };
}

/** The tools of the home whose policy it may be. A policy is checked without one, too. */
async function toolsOf(cli: Cli, command: Command): Promise<readonly ToolFacts[] | undefined> {
  try {
    return await cli.parts.toolFacts?.(await cli.settings(flagsOf(command), { exists: false }));
  } catch (error) {
    if (!isFault(error)) throw error;
    return undefined;
  }
}

/**
 * The same, where only a policy that loads is of use.
 * @throws CountersignError `POLICY_INVALID`, with every mistake in `details.errors`
 */
export async function readValidPolicy(
  cli: Cli,
  command: Command,
  named: string | undefined,
): Promise<{
  readonly file: string;
  readonly policy: Policy;
  readonly tools: readonly ToolFacts[] | undefined;
}> {
  const { file, policy, errors, tools } = await readPolicy(cli, command, named);
  if (policy !== null) return { file, policy, tools };
  const lines = errors.map(formatSourceError);
  throw new CountersignError("POLICY_INVALID", lines[0] ?? `${file} does not load`, {
    hint: `see every mistake: countersign policy check ${file}`,
    details: { errors: lines },
  });
}
