import type { Json, JsonObject } from "../base/canonical-json.ts";
import type { SealedFile, Tool } from "../tool.ts";

/**
 * What the conformance kit needs of whoever tests a tool: a real target it may break, and the tool over it. Every check
 * begins with `reset`.
 */
export interface ToolWorld {
  /** Puts the target into its starting state. */
  reset(): Promise<void>;
  /** The tool, made anew over the same target, as another process would make it. */
  makeTool(): Promise<Tool>;
  /** A call that the tool accepts in the starting state, and that changes the target. */
  readonly input: JsonObject;
  /** Everything of the target that the tool may change, as a text: equal texts mean an equal target. */
  snapshot(): Promise<string>;
  /** The same with all that differs from run to run, such as names with a time in them. Default: `snapshot`. */
  snapshotExactly?(): Promise<string>;
  /** Ways in which the world may change between preview and execution, each of something the plan relies on. */
  readonly changes: Readonly<Record<string, () => Promise<void>>>;
  /** Directory for work directories. */
  readonly workRoot: string;
  creds?(name: string, access: "read" | "write"): Promise<string>;
  /** Secrets that stand in the target or its credentials: none may appear in what the tool gives. */
  readonly secrets?: readonly string[];
  /** Calls that `parseInput` must refuse, beside the ones the kit makes up. */
  readonly refusedInputs?: readonly Json[];
  /**
   * Runs `execute` in a process of its own that kills itself (SIGKILL) when the tool reports its `dieAt`-th progress
   * line, counted from 0. Absent: the crash checks are skipped, and the kit says so.
   */
  executeAndDie?(job: ExecutionJob, dieAt: number): Promise<ChildEnd>;
}

/** All that an execution needs in another process. */
export interface ExecutionJob {
  readonly plan: Json;
  readonly files: readonly SealedFile[];
  readonly requestId: string;
}

export type ChildEnd =
  /** It was killed before it came to an end. */
  | { readonly kind: "killed" }
  /** It ended before that many progress lines. */
  | { readonly kind: "ended"; readonly progressLines: number };

export interface CheckResult {
  /** `T4 execute refuses a changed world: …` */
  readonly name: string;
  readonly ok: boolean;
  /** What was found; empty where there is nothing to say. */
  readonly detail: string;
  /** True where the check could not be made here. */
  readonly skipped: boolean;
}
