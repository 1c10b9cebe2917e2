import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import type { CommandEnd } from "./command.ts";
import type { Git, RemoteAccess } from "./git.ts";
import { directoryBytes, exclusively, isDirectory, KEEP, sweepUnfinished, watchSize } from "./mirror-room.ts";
import { isAllowedRef, type RefFamily, type RefRequest } from "./ref.ts";

// The gateway's own bare copy of a service's repository.
//
// Only the named branch or tag is fetched, into refs/countersign/: never refs/replace, notes or pull requests, so a
// pinned id can't be made to read as something else. A request's objects are held by refs/countersign/keep/ until they
// are swept, so that what was approved can be read when it runs.

export interface MirrorParts {
  readonly git: Git;
  readonly dir: string;
  readonly remote: RemoteAccess;
  readonly patterns: readonly string[];
  readonly maxBytes: number;
}

/** What a ref stands for in the source, now. */
export interface ResolvedRef {
  readonly kind: "branch" | "tag" | "commit";
  /** `refs/heads/main`; for a commit the first allowed ref that reaches it. */
  readonly name: string;
  /** The object the ref points at: a commit, or an annotated tag. */
  readonly oid: string;
}

export interface Mirror {
  readonly dir: string;
  /** Asks the source; fetches nothing but for a commit id. @throws ToolRefusal */
  resolve(ref: RefRequest, signal: AbortSignal): Promise<ResolvedRef>;
  /** Resolves, and brings the objects here, held under `keep`. @throws ToolRefusal */
  fetch(ref: RefRequest, keep: string, signal: AbortSignal): Promise<ResolvedRef>;
  release(keep: string): Promise<void>;
  /** The commit that an object stands for, through annotated tags; the object has to be here. @throws ToolRefusal */
  commitOf(oid: string, signal: AbortSignal): Promise<string>;
  isAncestor(older: string, newer: string, signal: AbortSignal): Promise<boolean>;
  /** Ids of the commits in `newer` and not in `older`, newest first. */
  between(older: string, newer: string, limit: number, signal: AbortSignal): Promise<readonly string[]>;
}

/** From a ref of the source to one of ours. */
type RefSpec = readonly [from: string, to: string];

const MAX_SCANNED_REFS = 500;

export async function openMirror(parts: MirrorParts): Promise<Mirror> {
  const { git, dir, remote } = parts;
  await ensureMirror(git, dir);

  const list = async (
    signal: AbortSignal,
    wanted: readonly string[],
  ): Promise<ReadonlyMap<string, string>> => {
    const end = await git.run({
      args: ["ls-remote", "--quiet", ...remote.args, "--end-of-options", remote.url, ...wanted],
      gitDir: dir,
      remote,
      signal,
      stdoutBytes: 16 * 1024 * 1024,
    });
    check(end, signal, "source_unreachable");
    const refs = new Map<string, string>();
    for (const line of end.stdout.toString("utf8").split("\n")) {
      const found = /^([0-9a-f]{40})\t(refs\/(?:heads|tags)\/[^\0]+)$/.exec(line);
      if (found?.[1] !== undefined && found[2] !== undefined && !found[2].endsWith("^{}"))
        refs.set(found[2], found[1]);
    }
    return refs;
  };

  const resolveName = async (
    family: RefFamily | null,
    name: string,
    signal: AbortSignal,
  ): Promise<ResolvedRef> => {
    const families = family === null ? (["heads", "tags"] as const) : [family];
    const allowed = families.filter((one) => isAllowedRef(one, name, parts.patterns));
    if (allowed.length === 0) throw new ToolRefusal("ref_not_allowed", name);
    // Both families are asked for even where one is allowed: a short name that means two things is refused.
    const refs = await list(
      signal,
      families.map((one) => `refs/${one}/${name}`),
    );
    const found = families.filter((one) => refs.has(`refs/${one}/${name}`));
    if (found.length > 1) throw new ToolRefusal("ref_ambiguous", name);
    const only = found[0];
    if (only === undefined) throw new ToolRefusal("ref_unknown", name);
    if (!allowed.includes(only)) throw new ToolRefusal("ref_not_allowed", `refs/${only}/${name}`);
    const full = `refs/${only}/${name}`;
    return { kind: only === "heads" ? "branch" : "tag", name: full, oid: refs.get(full) ?? "" };
  };

  const fetchRefs = (specs: readonly RefSpec[], signal: AbortSignal): Promise<void> =>
    exclusively(dir, signal, async () => {
      // Under the lock nobody else fetches: what lies here unfinished was left by a fetch that was killed.
      await sweepUnfinished(dir);
      const stop = new AbortController();
      const watch = watchSize(dir, parts.maxBytes, stop);
      const end = await git
        .run({
          args: [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-show-forced-updates",
            "--refmap=",
            "--stdin",
            ...remote.args,
            "--end-of-options",
            remote.url,
          ],
          gitDir: dir,
          remote,
          input: `${specs.map(([from, to]) => `+${from}:${to}`).join("\n")}\n`,
          signal: AbortSignal.any([signal, stop.signal]),
        })
        .finally(() => watch.stop());
      if (
        stop.signal.aborted ||
        (await directoryBytes(join(dir, "objects"), parts.maxBytes)) > parts.maxBytes
      ) {
        const cleanUp = AbortSignal.timeout(120_000);
        const input = specs.map(([, to]) => `delete ${to}\n`).join("");
        await git.run({ args: ["update-ref", "--stdin"], gitDir: dir, signal: cleanUp, input });
        await sweepUnfinished(dir);
        await git.run({ args: ["gc", "--quiet", "--prune=now"], gitDir: dir, signal: cleanUp });
        throw new ToolRefusal("source_too_large", `the mirror would exceed ${parts.maxBytes} bytes`);
      }
      check(end, signal, "source_rejected");
    });

  // A commit id counts only where an allowed branch or tag reaches it: anyone who may push anywhere could otherwise
  // bring in any commit, also one that no branch ever held.
  const resolveCommit = async (
    commit: string,
    keep: string | null,
    signal: AbortSignal,
  ): Promise<ResolvedRef> => {
    const refs = [...(await list(signal, ["refs/heads/*", "refs/tags/*"])).keys()]
      .filter((full) => {
        const [, family, name] = /^refs\/(heads|tags)\/(.+)$/s.exec(full) ?? [];
        return (
          family !== undefined &&
          name !== undefined &&
          isAllowedRef(family as RefFamily, name, parts.patterns)
        );
      })
      .sort();
    if (refs.length > MAX_SCANNED_REFS) throw new ToolRefusal("too_many_refs", `${refs.length}`);
    if (refs.length === 0) throw new ToolRefusal("commit_unreachable", commit);
    const scan = `refs/countersign/scan/${randomBytes(8).toString("hex")}`;
    try {
      await fetchRefs(
        refs.map((full, i) => [full, `${scan}/${String(i).padStart(4, "0")}`] as const),
        signal,
      );
      const type = await git.run({ args: ["cat-file", "-t", commit], gitDir: dir, signal });
      const holds =
        type.stdout.toString("utf8").trim() === "commit"
          ? await git.run({
              args: ["for-each-ref", "--count=1", "--format=%(refname)", `--contains=${commit}`, `${scan}/`],
              gitDir: dir,
              signal,
            })
          : undefined;
      signal.throwIfAborted();
      const index = /\/(\d{4})\n$/.exec(holds?.stdout.toString("utf8") ?? "")?.[1];
      const name = index === undefined ? undefined : refs[Number(index)];
      if (name === undefined) throw new ToolRefusal("commit_unreachable", commit);
      // Held before the scanned refs go: in between, the room it takes could be given back.
      if (keep !== null) {
        const kept = await git.run({ args: ["update-ref", `${KEEP}${keep}`, commit], gitDir: dir, signal });
        check(kept, signal, "source_rejected");
      }
      return { kind: "commit", name, oid: commit };
    } finally {
      await deleteRefs(git, dir, `${scan}/`);
    }
  };

  const resolve = (ref: RefRequest, signal: AbortSignal): Promise<ResolvedRef> => {
    if (ref.kind === "commit") return resolveCommit(ref.commit, null, signal);
    return resolveName(ref.kind === "full" ? ref.family : null, ref.name, signal);
  };

  return {
    dir,
    resolve,
    async fetch(ref, keep, signal) {
      if (ref.kind === "commit") return resolveCommit(ref.commit, keep, signal);
      const resolved = await resolve(ref, signal);
      await fetchRefs([[resolved.name, `${KEEP}${keep}`]], signal);
      const now = await git.run({
        args: ["rev-parse", "--verify", "--end-of-options", `${KEEP}${keep}`],
        gitDir: dir,
        signal,
      });
      check(now, signal, "source_rejected");
      // It moved between the question and the fetch: what was fetched is what counts.
      return { ...resolved, oid: now.stdout.toString("utf8").trim() };
    },
    async release(keep) {
      const signal = AbortSignal.timeout(30_000);
      await git.run({ args: ["update-ref", "-d", `${KEEP}${keep}`], gitDir: dir, signal });
    },
    async commitOf(oid, signal) {
      const end = await git.run({
        args: ["rev-parse", "--verify", "--end-of-options", `${oid}^{commit}`],
        gitDir: dir,
        signal,
      });
      check(end, signal, "ref_unknown");
      return end.stdout.toString("utf8").trim();
    },
    async isAncestor(older, newer, signal) {
      const end = await git.run({ args: ["merge-base", "--is-ancestor", older, newer], gitDir: dir, signal });
      signal.throwIfAborted();
      return end.code === 0;
    },
    async between(older, newer, limit, signal) {
      const end = await git.run({
        args: ["rev-list", `--max-count=${limit}`, "--end-of-options", newer, `^${older}`],
        gitDir: dir,
        signal,
        stdoutBytes: (limit + 1) * 41,
      });
      check(end, signal, "source_rejected");
      return end.stdout.toString("utf8").split("\n").filter(Boolean);
    },
  };
}

async function deleteRefs(git: Git, dir: string, prefix: string): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  const refs = await git.run({
    args: ["for-each-ref", "--format=delete %(refname)", prefix],
    gitDir: dir,
    signal,
  });
  if (refs.stdout.length > 0)
    await git.run({ args: ["update-ref", "--stdin"], gitDir: dir, signal, input: refs.stdout });
}

// Made beside and moved into place, so that a mirror is either whole or not there.
async function ensureMirror(git: Git, dir: string): Promise<void> {
  if (await isDirectory(join(dir, "objects"))) return;
  await mkdir(join(dir, ".."), { recursive: true, mode: 0o700 });
  const fresh = `${dir}.new-${randomBytes(6).toString("hex")}`;
  try {
    const end = await git.run({
      args: ["init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--end-of-options", fresh],
      signal: AbortSignal.timeout(30_000),
    });
    if (end.code !== 0) throw new ToolRefusal("git_unusable", end.stderr);
    await rename(fresh, dir);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!(await isDirectory(join(dir, "objects")))) throw error;
  }
}

function check(end: CommandEnd, signal: AbortSignal, code: string): void {
  signal.throwIfAborted();
  if (end.stopped === "timeout") throw new ToolRefusal("source_slow", end.stderr);
  if (end.stopped === "output") throw new ToolRefusal("source_too_large", "more output than is read");
  if (end.code !== 0) throw new ToolRefusal(code, end.stderr);
}
