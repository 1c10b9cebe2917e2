import { resolve } from "node:path";
import { Option, type Command } from "commander";
import type { JsonObject } from "../../base/canonical-json.ts";
import { neutralLine } from "../../base/text.ts";
import type { Cli } from "../context.ts";
import { usage } from "../failure.ts";
import type { Disk } from "../hosts/disk.ts";
import { HOST_IDS, HOSTS, SCOPES, type Host, type HostId, type Scope } from "../hosts/host.ts";
import type { Registration, RegistrationOutcome, RegistrationParts } from "../hosts/registration.ts";
import { pause } from "../pause.ts";

// What install and uninstall have in common.

export interface HostFlags {
  readonly host: HostId;
  readonly scope: Scope;
  readonly name: string;
  readonly config?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
/** Long past what a change takes; shorter only makes two of us more likely to meet. */
const STALE_LOCK_MS = 10_000;

export const addHostFlags = (command: Command, force: string): Command =>
  command
    .addOption(new Option("--host <host>", "which host").choices(HOST_IDS).makeOptionMandatory())
    .addOption(new Option("--scope <scope>", "for you, or this directory").choices(SCOPES).default("user"))
    .option("--name <name>", "what the host calls the server", "countersign")
    .option("--config <file>", "the host's file, where it is not in its usual place")
    .option("--force", force)
    .option("--dry-run", "print the file's path and the change, and write nothing")
    .option("--json", "print JSON");

export function hostFlagsOf({ host, scope, name }: HostFlags): {
  readonly host: Host;
  readonly scope: Scope;
  readonly name: string;
} {
  if (!NAME.test(name)) throw usage(`--name is "${name}"; letters, digits, dash and underscore are expected`);
  return { host: HOSTS[host], scope, name };
}

export async function registrationOf(
  cli: Cli,
  flags: HostFlags,
  disk: Disk,
): Promise<{ readonly parts: RegistrationParts; readonly registration: Registration }> {
  const { around, interrupted } = cli.parts;
  const { configPath } = await import("../hosts/config-path.ts");
  const { host, scope, name } = hostFlagsOf(flags);
  const file =
    flags.config === undefined
      ? await configPath(host.id, scope, around, (directory) => disk.list(directory))
      : resolve(around.cwd, flags.config);
  const within = scope === "project" && flags.config === undefined ? around.cwd : null;
  const [force, dryRun] = [flags.force === true, flags.dryRun === true];
  return {
    parts: { disk, waits: { sleep: (ms) => pause(ms, interrupted), staleMs: STALE_LOCK_MS } },
    registration: { host, scope, file, within, name, force, dryRun },
  };
}

export interface Reported extends RegistrationOutcome {
  /** What stands there now; null: nothing. */
  readonly entry: JsonObject | null;
  readonly otherWays: readonly string[];
}

export function reportOutcome(
  { terminal }: Cli,
  { json, dryRun = false }: HostFlags,
  { host, scope, name, file }: Registration,
  { action, path, diff, backup, notes, entry, otherWays }: Reported,
): void {
  if (json === true) {
    const document = {
      host: host.id,
      scope,
      name,
      file,
      path,
      action,
      dryRun,
      entry,
      diff,
      backup,
      notes,
      otherWays,
    };
    terminal.json(document);
    return;
  }
  const { green, red, yellow } = terminal.paint;
  terminal.out(neutralLine(path === file ? file : `${file} -> ${path}`));
  for (const line of diff) {
    const paint = line.startsWith("+") ? green : line.startsWith("-") ? red : (text: string) => text;
    terminal.out(paint(line));
  }
  if (action === "unchanged") terminal.out("nothing to change");
  else if (dryRun) terminal.out(`would be ${action}; nothing was written (--dry-run)`);
  else {
    terminal.out(`${green(action)} ${name}`);
    if (backup !== null) terminal.out(`before: ${neutralLine(backup)}`);
    terminal.out(`next:   ${host.next}`);
  }
  for (const note of notes) terminal.note(`${yellow("note:")} ${neutralLine(note)}`);
  if (otherWays.length > 0 && action !== "unchanged") {
    terminal.note("the same by the host's own means:");
    for (const way of otherWays) terminal.note(`  ${neutralLine(way)}`);
  }
}
