import { createHash } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  opendir,
  readFile,
  readlink,
  rename,
  rm,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import { LockBusy, withLock } from "../git/lock.ts";
import { sha256, type Manifest } from "../git/manifest.ts";
import type { ObjectReader } from "../git/objects.ts";
import { writeTree } from "../git/write-tree.ts";
import type { WorkspaceRegistration } from "./registration.ts";
import { OVERRIDE } from "./scan.ts";
import type { TerraformParts, Workspace } from "./workspace.ts";

// Where terraform works: a checkout of one commit, whole, in a directory of the gateway's own. It has the same path for
// the preview, for the look before the execution and for the execution, because a configuration can see its path. What
// lies in it is compared with the commit each time.

export interface Room {
  /** Working directory: the root module. */
  readonly work: string;
  /** Top of the checkout. */
  readonly tree: string;
  /** TF_DATA_DIR. */
  readonly data: string;
  /** TF_CLI_CONFIG_FILE. */
  readonly cliConfig: string;
  /** The commit brings no dependency lock file: the one that lies there was made by terraform in this room. */
  readonly ownLockFile: boolean;
}

const LOCK_FILE = ".terraform.lock.hcl";

/**
 * Makes the room ready and works in it, alone.
 * @throws ToolRefusal `workspace_busy`, `directory_missing`, `path_refused`
 */
export async function inRoom<T>(
  parts: TerraformParts,
  workspace: Workspace,
  manifest: Manifest,
  reader: ObjectReader,
  ctx: ToolContext,
  work: (room: Room) => Promise<T>,
): Promise<T> {
  const { registration } = workspace;
  const key = createHash("sha256").update(`${workspace.digest}\n${manifest.tree}`).digest("hex").slice(0, 32);
  const dir = join(parts.stateDir, "rooms", workspace.name, key);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // What is swept is what nobody has used for long.
  await utimes(dir, ctx.now() / 1_000, ctx.now() / 1_000);
  try {
    return await withLock(dir, { signal: ctx.signal, waitMs: parts.limits.lockWaitMs }, async () => {
      const tree = join(dir, "tree");
      const at = join(tree, registration.directory ?? "");
      const paths = new Set(manifest.files.map((file) => file.path));
      const inWork = (name: string): string =>
        registration.directory === undefined ? name : `${registration.directory}/${name}`;
      for (const name of [OVERRIDE, "countersign_override.tofu.json"]) {
        if (paths.has(inWork(name)))
          throw new ToolRefusal("path_refused", `${inWork(name)} is the gateway's own name`);
      }
      const ownLockFile = !paths.has(inWork(LOCK_FILE));
      const extra = new Set([inWork(OVERRIDE), ...(ownLockFile ? [inWork(LOCK_FILE)] : [])]);
      if (!(await isAsSealed(tree, manifest, extra))) {
        const fresh = `${tree}.new`;
        await rm(fresh, { recursive: true, force: true });
        await rm(join(dir, "data"), { recursive: true, force: true });
        await mkdir(fresh, { mode: 0o700 });
        await writeTree(fresh, manifest.files, reader, ctx.signal);
        await rm(tree, { recursive: true, force: true });
        await rename(fresh, tree);
      }
      const isThere = await lstat(at).then(
        (stat) => stat.isDirectory(),
        () => false,
      );
      if (!isThere) throw new ToolRefusal("directory_missing", registration.directory ?? "");
      await mkdir(join(dir, "data"), { recursive: true, mode: 0o700 });
      const cliConfig = registration.cli_config ?? join(dir, "cli.tfrc");
      if (registration.cli_config === undefined)
        await writeFile(cliConfig, cliConfigText(registration), { mode: 0o600 });
      await rm(join(at, OVERRIDE), { force: true });
      await writeFile(join(at, OVERRIDE), backendText(registration), { mode: 0o600, flag: "wx" });
      return work({ work: at, tree, data: join(dir, "data"), cliConfig, ownLockFile });
    });
  } catch (error) {
    if (error instanceof LockBusy) {
      ctx.signal.throwIfAborted();
      throw new ToolRefusal("workspace_busy", "another plan of this commit is being made");
    }
    throw error;
  }
}

/** The operator's backend, in a file that terraform lays over what the configuration says ("Override Files"). */
function backendText({ backend }: WorkspaceRegistration): string {
  const block = "local" in backend ? { local: { path: backend.local } } : { [backend.type]: backend.config };
  return `${canonicalJson({ terraform: [{ backend: [block] }] })
    .replaceAll("${", "$${")
    .replaceAll("%{", "%%{")}\n`;
}

/** Plugins that may be installed, and from where; without any, only what is built into terraform. */
export function cliConfigText({ providers }: WorkspaceRegistration): string {
  const quote = (text: string): string =>
    JSON.stringify(text).replaceAll("${", "$${").replaceAll("%{", "%%{");
  const include = `[${providers.allow.map(quote).join(", ")}]`;
  const lines = ["disable_checkpoint = true"];
  if (providers.cache !== undefined) lines.push(`plugin_cache_dir = ${quote(providers.cache)}`);
  // An empty list would include everything.
  if (providers.allow.length === 0) lines.push("provider_installation {", "}");
  else if (providers.mirror === undefined) {
    lines.push("provider_installation {", "  direct {", `    include = ${include}`, "  }", "}");
  } else {
    lines.push(
      "provider_installation {",
      "  filesystem_mirror {",
      `    path    = ${quote(providers.mirror)}`,
      `    include = ${include}`,
      "  }",
      "}",
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Whether a directory holds the files of the manifest, these bytes, and nothing besides but `extra`. */
async function isAsSealed(tree: string, manifest: Manifest, extra: ReadonlySet<string>): Promise<boolean> {
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  const parents = new Set<string>();
  for (const path of files.keys()) {
    for (let dir = dirname(path); dir !== "."; dir = dirname(dir)) parents.add(dir);
  }
  const walk = async (prefix: string): Promise<boolean> => {
    for await (const entry of await opendir(join(tree, prefix))) {
      const path = `${prefix}${entry.name}`;
      const at = join(tree, path);
      const file = files.get(path);
      if (entry.isDirectory()) {
        if (!parents.has(path) || !(await walk(`${path}/`))) return false;
        continue;
      }
      if (file === undefined) {
        if (extra.has(path) && entry.isFile()) continue;
        return false;
      }
      if (entry.isSymbolicLink() !== (file.mode === "120000")) return false;
      const bytes = entry.isSymbolicLink() ? await readlink(at) : entry.isFile() ? await readFile(at) : null;
      if (bytes === null || sha256(bytes) !== file.sha256) return false;
      if (!entry.isSymbolicLink()) await chmod(at, file.mode === "100755" ? 0o755 : 0o644);
      files.delete(path);
    }
    return true;
  };
  return (await lstat(tree).catch(() => null)) !== null && (await walk("")) && files.size === 0;
}
