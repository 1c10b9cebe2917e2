import { createHmac, randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../src/base/digest.ts";
import { ToolRefusal } from "../../src/tool.ts";
import { createGit, type Git } from "../git/git.ts";
import type { TreeLimits } from "../git/tree.ts";
import { workspaceDigest, type WorkspaceRegistration } from "./registration.ts";

/** Caps; what is above them is refused, never shortened. */
export interface TerraformLimits extends TreeLimits {
  readonly mirrorBytes: number;
  readonly planBytes: number;
  /** Bytes of a plan as JSON. */
  readonly jsonBytes: number;
  /** Milliseconds for one git command. */
  readonly gitTimeoutMs: number;
  /** Milliseconds to wait for another plan of the same commit, or another apply of the same workspace. */
  readonly lockWaitMs: number;
}

export const DEFAULT_TERRAFORM_LIMITS: TerraformLimits = {
  entries: 20_000,
  fileBytes: 64 * 1024 * 1024,
  treeBytes: 512 * 1024 * 1024,
  mirrorBytes: 4 * 1024 * 1024 * 1024,
  planBytes: 24 * 1024 * 1024,
  jsonBytes: 128 * 1024 * 1024,
  gitTimeoutMs: 90_000,
  lockWaitMs: 60_000,
};

export interface TerraformOptions {
  /** Parsed by `workspaceRegistration`, by name. */
  readonly workspaces: Readonly<Record<string, WorkspaceRegistration>>;
  /** Directory of the tools' own, for mirrors, checkouts and marks of what was started; 0700. */
  readonly stateDir: string;
  /** The gateway's environment, of which only the names in a registration are read. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly git?: string;
  readonly limits?: Partial<TerraformLimits>;
}

export interface TerraformParts {
  readonly workspaces: Readonly<Record<string, WorkspaceRegistration>>;
  readonly stateDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly git: Git;
  readonly limits: TerraformLimits;
  /** An empty directory: neither git nor terraform finds a configuration of the account's. */
  readonly home: string;
}

export function terraformParts(options: TerraformOptions): TerraformParts {
  const limits = { ...DEFAULT_TERRAFORM_LIMITS, ...options.limits };
  const { workspaces, stateDir } = options;
  return {
    workspaces,
    stateDir,
    limits,
    env: options.env ?? {},
    git: createGit({ binary: options.git ?? "git", stateDir, timeoutMs: limits.gitTimeoutMs }),
    home: join(stateDir, "empty-home"),
  };
}

export interface Workspace {
  readonly name: string;
  readonly registration: WorkspaceRegistration;
  readonly digest: Digest;
}

/** @throws ToolRefusal `unknown_workspace` */
export function findWorkspace(parts: Pick<TerraformParts, "workspaces">, name: string): Workspace {
  const registration = Object.hasOwn(parts.workspaces, name) ? parts.workspaces[name] : undefined;
  if (registration === undefined) throw new ToolRefusal("unknown_workspace", name);
  return { name, registration, digest: workspaceDigest(registration) };
}

/**
 * A keyed hash for guards: what is hashed holds secrets of state and variables, and a guard stands in the log (L3).
 * The key is the home's own; without it every open plan is stale.
 */
export async function keyedHash(stateDir: string, text: string): Promise<string> {
  const path = join(stateDir, "guard.key");
  const read = (): Promise<Buffer | undefined> =>
    readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
  let key = await read();
  if (key === undefined) {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    // Written beside and linked into place: of two processes that begin at once, one key counts, and it is whole.
    const fresh = `${path}.${randomBytes(6).toString("hex")}`;
    const file = await open(fresh, "wx", 0o600);
    await file.writeFile(randomBytes(32));
    await file.sync();
    await file.close();
    await link(fresh, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    await rm(fresh, { force: true });
    key = await read();
  }
  if (key?.length !== 32) throw new Error("guard.key is damaged");
  return `hmac-sha256:${createHmac("sha256", key).update(text).digest("hex")}`;
}
