import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GitSource } from "./git-source.ts";

/** A program that leaves a mark where it runs: what an attacker would put into a configuration. */
export interface Canary {
  /** Path of the program. */
  readonly program: string;
  ran(): boolean;
  clear(): void;
}

export function makeCanary(dir: string): Canary {
  mkdirSync(dir, { recursive: true });
  const mark = join(dir, "canary-ran");
  const program = join(dir, "canary.sh");
  writeFileSync(
    program,
    `#!/bin/sh
echo "$0 $*" >> '${mark}'
exit 1
`,
    { mode: 0o755 },
  );
  return { program, ran: () => existsSync(mark), clear: () => rmSync(mark, { force: true }) };
}

const HOOKS = [
  "applypatch-msg",
  "post-applypatch",
  "post-checkout",
  "post-commit",
  "post-index-change",
  "post-merge",
  "post-receive",
  "post-rewrite",
  "post-update",
  "post-upload-pack",
  "pre-auto-gc",
  "pre-commit",
  "pre-push",
  "pre-receive",
  "proc-receive",
  "push-to-checkout",
  "reference-transaction",
  "sendemail-validate",
  "update",
  "fsmonitor-watchman",
];

/** Every place of a repository's own configuration in which git may be told to run something. */
export function armRepository(source: GitSource, canary: Canary): void {
  const run = canary.program;
  const config: readonly (readonly [string, string])[] = [
    ["core.fsmonitor", run],
    ["core.sshCommand", run],
    ["core.pager", run],
    ["core.editor", run],
    ["core.askPass", run],
    ["core.gitProxy", run],
    ["core.alternateRefsCommand", run],
    ["core.hooksPath", join(source.dir, ".git/hooks")],
    ["core.attributesFile", join(source.dir, ".git/evil-attributes")],
    ["uploadpack.packObjectsHook", run],
    ["pager.upload-pack", run],
    ["pager.cat-file", run],
    ["pager.ls-remote", run],
    ["alias.upload-pack", `!${run}`],
    ["alias.cat-file", `!${run}`],
    ["filter.evil.clean", run],
    ["filter.evil.smudge", run],
    ["filter.evil.process", run],
    ["filter.evil.required", "true"],
    ["diff.evil.command", run],
    ["diff.evil.textconv", run],
    ["diff.external", run],
    ["merge.evil.driver", run],
    ["interactive.diffFilter", run],
    ["credential.helper", `!${run}`],
    ["gpg.program", run],
    ["trace2.eventTarget", join(source.dir, "trace-canary")],
    ["receive.procReceiveRefs", "refs"],
    ["tar.evil.command", run],
    ["protocol.ext.allow", "always"],
    ["remote.origin.url", `ext::${run} x`],
    ["remote.origin.uploadpack", run],
    ["remote.origin.promisor", "true"],
    ["remote.origin.partialclonefilter", "blob:none"],
    ["url.ext::evil.insteadOf", "file://"],
    ["include.path", join(source.dir, ".git/evil-include")],
    ["uploadpack.allowAnySHA1InWant", "true"],
    ["uploadpack.blobPackfileUri", `${"1".repeat(40)} ${"2".repeat(40)} file://${run}`],
    ["maintenance.auto", "true"],
    ["gc.auto", "1"],
  ];
  for (const [key, value] of config) source.git("config", "--add", key, value);
  writeFileSync(
    join(source.dir, ".git/evil-include"),
    `[core]\n\tfsmonitor = ${run}\n[alias]\n\tlog = !${run}\n`,
  );
  writeFileSync(join(source.dir, ".git/evil-attributes"), "* filter=evil diff=evil merge=evil\n");
  mkdirSync(join(source.dir, ".git/info"), { recursive: true });
  writeFileSync(join(source.dir, ".git/info/attributes"), "* filter=evil diff=evil merge=evil\n");
  mkdirSync(join(source.dir, ".git/hooks"), { recursive: true });
  for (const hook of HOOKS)
    writeFileSync(join(source.dir, ".git/hooks", hook), `#!/bin/sh\nexec ${run}\n`, { mode: 0o755 });
}

/** One entry of a tree made by hand: what no porcelain would write. */
export interface RawEntry {
  readonly mode: string;
  readonly name: string | Uint8Array;
  readonly oid: string;
}

/** Writes a tree object from raw entries, unchecked, and gives its id. */
export function writeRawTree(source: GitSource, entries: readonly RawEntry[]): string {
  const parts: Buffer[] = [];
  for (const { mode, name, oid } of entries) {
    parts.push(Buffer.from(`${mode} `), Buffer.from(name), Buffer.from([0]), Buffer.from(oid, "hex"));
  }
  return source.gitWith(Buffer.concat(parts), "hash-object", "-t", "tree", "-w", "--stdin", "--literally");
}

export const writeBlob = (source: GitSource, content: string | Uint8Array): string =>
  source.gitWith(content, "hash-object", "-w", "--stdin");

/** Commits a tree, and points a branch at it. */
export function commitTree(source: GitSource, tree: string, branch = "main"): string {
  const commit = source.git("commit-tree", tree, "-m", "by hand");
  source.git("update-ref", `refs/heads/${branch}`, commit);
  return commit;
}
