import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "../git/command.ts";
import type { HealthCommand } from "./registration.ts";

export type HealthPhase = "check" | "health" | "rollback";

export interface HealthParts {
  readonly stateDir: string;
  /** The gateway's environment, of which a command sees only the names in its allowlist. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface HealthRun {
  readonly phase: HealthPhase;
  readonly service: string;
  readonly release: string;
  /** The release's own directory: the command's working directory and `RELEASE_DIR`. */
  readonly dir: string;
  readonly signal: AbortSignal;
}

const OUTPUT_BYTES = 64 * 1024;

/**
 * Runs the operator's command for a release: argv as registered, no shell, its own process group, killed with all it
 * started when it ends or its time is up. What it prints goes to a file of the operator's, never to the caller.
 * @returns undefined where it passed, else why not
 */
export async function runHealth(
  parts: HealthParts,
  command: HealthCommand,
  run: HealthRun,
): Promise<string | undefined> {
  const env: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    RELEASE_DIR: run.dir,
    RELEASE_ID: run.release,
    RELEASE_PHASE: run.phase,
    SERVICE: run.service,
  };
  for (const name of command.env) {
    const value = parts.env[name];
    if (value !== undefined) env[name] = value;
  }
  try {
    const end = await runCommand({
      argv: command.run,
      env,
      cwd: run.dir,
      signal: run.signal,
      timeoutMs: command.timeout,
      stdoutBytes: OUTPUT_BYTES,
      stderrBytes: OUTPUT_BYTES,
    });
    await keepOutput(parts, run, `${end.stdout.toString("utf8")}${end.stderr}`);
    if (end.stopped === "timeout") return `was stopped after ${command.timeout} ms`;
    if (end.stopped === "output") return `printed more than ${OUTPUT_BYTES} bytes`;
    if (end.stopped === "aborted") return "was stopped";
    return end.code === 0 ? undefined : `ended with ${end.code === null ? "a signal" : `status ${end.code}`}`;
  } catch (error) {
    return `could not be started (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`;
  }
}

async function keepOutput(parts: HealthParts, run: HealthRun, output: string): Promise<void> {
  const dir = join(parts.stateDir, "output");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFile(join(dir, `${run.service}-${run.phase}.log`), `release ${run.release}\n${output}`, {
    mode: 0o600,
  });
}
