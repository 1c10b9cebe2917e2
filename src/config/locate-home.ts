import { stat } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { CountersignError } from "../errors.ts";
import { stateDirectory, type Surroundings } from "./environment.ts";

/** The operator's file, at the root of a home. */
export const CONFIG_FILE = "countersign.yaml";

/** How a home was found; said in messages, so that nobody wonders which one was meant. */
export type HomeOrigin = "flag" | "environment" | "nearest" | "state";

export interface LocatedHome {
  /** Absolute. */
  readonly home: string;
  readonly origin: HomeOrigin;
}

/**
 * `--home` > `COUNTERSIGN_HOME` > the nearest countersign.yaml > the account's state directory.
 *
 * The nearest file counts only for a person at a terminal: a gateway that a host spawns has whatever working directory
 * the host or the agent chose, and a file planted there must not become its configuration.
 *
 * @throws CountersignError `CONFIG_INVALID` for a relative `COUNTERSIGN_HOME`
 */
export async function locateHome(
  flag: string | undefined,
  around: Surroundings,
  interactive: boolean,
): Promise<LocatedHome> {
  if (flag !== undefined) return { home: resolve(around.cwd, flag), origin: "flag" };
  const named = around.env["COUNTERSIGN_HOME"];
  if (named !== undefined && named !== "") {
    if (!isAbsolute(named)) {
      throw new CountersignError("CONFIG_INVALID", `COUNTERSIGN_HOME is "${named}", not an absolute path`, {
        hint: "set COUNTERSIGN_HOME to an absolute path, or pass --home DIR",
      });
    }
    return { home: resolve(named), origin: "environment" };
  }
  if (interactive) {
    const nearest = await nearestHome(around.cwd);
    if (nearest !== null) return { home: nearest, origin: "nearest" };
  }
  return { home: stateDirectory(around), origin: "state" };
}

async function nearestHome(from: string): Promise<string | null> {
  for (let dir = from; ; dir = dirname(dir)) {
    const isThere = await stat(join(dir, CONFIG_FILE)).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isThere) return dir;
    if (dirname(dir) === dir) return null;
  }
}
