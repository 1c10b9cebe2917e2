import { contractChecks, Skip, type Check } from "./tool-kit/contract-checks.ts";
import { crashChecks } from "./tool-kit/crash-checks.ts";
import type { CheckResult, ToolWorld } from "./tool-kit/world.ts";

export type { ChildEnd, CheckResult, ExecutionJob, ToolWorld } from "./tool-kit/world.ts";

// The conformance kit: what every tool has to keep, the built-in ones and a user's own (T1 to T7 in tool.ts). It breaks
// the target it is given, on purpose, again and again.

const CHECKS: readonly Check[] = [...contractChecks, ...crashChecks];

/** Names of the checks, in the order in which they run. */
export const TOOL_CHECKS: readonly string[] = CHECKS.map((check) => check.name);

/** Runs one check, on a world that was reset for it. */
export async function runToolCheck(world: ToolWorld, name: string): Promise<CheckResult> {
  const check = CHECKS.find((one) => one.name === name);
  if (check === undefined) throw new RangeError(`no check "${name}"`);
  try {
    await world.reset();
    return { name, ok: true, detail: (await check.run(world)) ?? "", skipped: false };
  } catch (error) {
    if (error instanceof Skip) return { name, ok: true, detail: error.message, skipped: true };
    return {
      name,
      ok: false,
      detail: error instanceof Error ? error.message : String(error),
      skipped: false,
    };
  }
}

/** Runs all checks, one after the other. */
export async function* checkTool(world: ToolWorld): AsyncIterable<CheckResult> {
  for (const name of TOOL_CHECKS) yield await runToolCheck(world, name);
}
