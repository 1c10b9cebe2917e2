import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { JsonObject } from "../base/canonical-json.ts";
import { err, ok, type Result } from "../base/result.ts";
import { nameProblems } from "./names.ts";
import type { UpstreamRegistrations } from "./registration.ts";
import { EMPTY_LOCK, LOCK_FILE, parseLock, pinsOf, type Lock } from "./lock.ts";

/** The lock beside a configuration file; empty where there is none yet. */
export async function readLock(configFile: string): Promise<Result<Lock, readonly string[]>> {
  const file = join(dirname(configFile), LOCK_FILE);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    return code === "ENOENT" ? ok(EMPTY_LOCK) : err([`${file}: cannot be read (${code})`]);
  }
  if (last?.text === text && last.file === file) return last.lock;
  const lock = parseLock(text, file);
  last = { file, text, lock };
  return lock;
}

/** The steward reads the file every few seconds, and it seldom changed. */
let last: {
  readonly file: string;
  readonly text: string;
  readonly lock: ReturnType<typeof parseLock>;
} | null = null;

/** What is proposed of upstreams: the registrations, and the accepted definitions of those that are registered. */
export async function readUpstreamRegistrations(
  configFile: string,
  upstreams: JsonObject,
  /** Names of the built-in tools, asked for only where they can clash. */
  ownTools: () => ReadonlySet<string>,
): Promise<Result<JsonObject, readonly string[]>> {
  const lock = await readLock(configFile);
  if (!lock.ok) return lock;
  const pins = pinsOf(lock.value, Object.keys(upstreams));
  const problems = nameProblems(pins, upstreams as unknown as UpstreamRegistrations, ownTools);
  return problems.length > 0 ? err(problems) : ok({ upstreams, pins: pins as unknown as JsonObject });
}
