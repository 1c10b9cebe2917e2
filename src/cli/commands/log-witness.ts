import { join, resolve } from "node:path";
import { formatDuration, parseDuration } from "../../base/duration.ts";
import { neutralLine } from "../../base/text.ts";
import { stateDirectory } from "../../config/environment.ts";
import { runProgram } from "../../consent/channels/cli/run-program.ts";
import { CountersignError } from "../../errors.ts";
import type { Home } from "../../gate/home.ts";
import { parseVerifierKey, type VerifierKey } from "../../log/note.ts";
import { commitKept, pushKept, type RunProgram } from "../../witness/git.ts";
import { lookAt, type Sight, type WitnessRefusal } from "../../witness/look.ts";
import { noteInHome } from "../../witness/note-in-home.ts";
import { keep, keepRefused, logsIn, openPlace, readKept, type Place } from "../../witness/place.ts";
import { isWitnessName, openWitnessKey } from "../../witness/witness-key.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import { pause } from "../pause.ts";
import type { AddCommand } from "../program.ts";
import { rolledBack } from "../sign-decision.ts";

interface WitnessFlags {
  readonly once?: boolean;
  readonly every: number;
  readonly key?: string;
  readonly add?: boolean;
  readonly push?: boolean;
  readonly name?: string;
  readonly witnessKey?: string;
  readonly json?: boolean;
}

/** A log that did not move is cosigned again after this long, so that the copy's age says that somebody looked. */
const AGAIN_AFTER_SECONDS = 3_600;

export const addLogWitness: AddCommand = (parent, cli, run) => {
  parent
    .command("witness")
    .description("keep an outside copy of the log's checkpoints, and check that it only grows")
    .argument("<place>", "a directory, a git repository or another home, elsewhere than this one")
    .option("--once", "look once instead of following")
    .option("--every <duration>", "how often to look", parseEvery, 60_000)
    .option("--key <key>", "the log's verifier key, from elsewhere, for the first look")
    .option("--add", "begin with this log in a place that keeps another one")
    .option("--push", "push the git repository after each commit")
    .option("--name <name>", "what a new witness key is called, such as witness.example.com")
    .option("--witness-key <file>", "the witness's own key (else one in your state directory)")
    .option("--json", "print JSON, one look a line")
    .addHelpText(
      "after",
      `
Each look proves that the log extends what the place keeps, cosigns its newest
checkpoint with the witness's own key (made on first use) and keeps it there as
C2SP checkpoint and tlog-proof. A log that does not extend it is refused, and
what it showed is kept as evidence.

Example:
  $ countersign log witness /mnt/backup/witness --once
  $ countersign log witness ~/audit-repository --push --every 5m
  $ countersign log verify --against /mnt/backup/witness`,
    )
    .action(run((command) => cli.withHome(command, (home) => witness(cli, home, command))));
};

async function witness(cli: Cli, home: Home, command: Parameters<typeof flagsOf>[0]): Promise<number> {
  const { around, clock, interrupted } = cli.parts;
  const flags = flagsOf<WitnessFlags>(command);
  const path = resolve(around.cwd, String(command.processedArgs[0]));
  const place = await openPlace(path, home.settings.home);
  if (flags.push === true && place.kind !== "git") {
    throw usage(`${neutralLine(path)} is not a git repository`, "leave --push out, or make one: git init");
  }
  if (flags.name !== undefined && !isWitnessName(flags.name)) {
    throw usage(`"${neutralLine(flags.name)}" is no name for a witness`, "use one like witness.example.com");
  }
  const keyFile =
    flags.witnessKey === undefined
      ? join(stateDirectory(around), "witness", "key")
      : resolve(around.cwd, flags.witnessKey);
  const cosigner = await openWitnessKey(keyFile, flags.name);
  const own = parseVerifierKey(cosigner.vkey);
  if (!own.ok) throw new CountersignError("LOG_KEY_MISMATCH", own.error);
  if (cosigner.made) cli.terminal.note(`made the witness's key ${cosigner.vkey} in ${neutralLine(keyFile)}`);
  const session = { cli, home, place, cosigner, own: own.value, flags };
  for (;;) {
    await look(session, Math.floor(clock.now() / 1_000));
    if (flags.once === true) return 0;
    await pause(flags.every, interrupted);
    if (interrupted.aborted) return 0;
  }
}

interface Session {
  readonly cli: Cli;
  readonly home: Home;
  readonly place: Place;
  readonly cosigner: Awaited<ReturnType<typeof openWitnessKey>>;
  readonly own: VerifierKey;
  readonly flags: WitnessFlags;
}

async function look(session: Session, seconds: number): Promise<void> {
  const { cli, home, place, cosigner, own, flags } = session;
  const log = home.store.logId;
  const kept = await readKept(place, log, own);
  const others = (await logsIn(place)).filter((one) => one !== log);
  if (kept === null && others.length > 0 && flags.add !== true) {
    throw alarm(cli, `this place watches ${others.join(", ")}, and the home now holds ${log}`, [
      "find out who replaced the home; if this is another home, begin with it by --add",
    ]);
  }
  const seen = await lookAt({ log: home.store, kept, pinned: flags.key ?? null, cosigner, seconds });
  if (!seen.ok) throw await refused(session, seen.error);
  // The account's own memory as well: whoever empties the place does not reach that one.
  const remembered = await cli.witness.look(home.store, home.settings.home);
  if (!remembered.ok) throw alarm(cli, rolledBack(remembered.error).message, [keptIn(place)]);
  const sight = seen.value;
  const isNew = kept === null || sight.checkpoint.size > kept.checkpoint.size;
  if (isNew || sight.cosignedAt - (kept?.cosignedAt ?? 0) >= AGAIN_AFTER_SECONDS) {
    await keep(place, log, sight, cosigner.vkey);
    await send(session, sight);
  }
  await noteInHome(home.settings.dataDir, own, sight.note);
  say(session, sight, { isFirst: kept === null, isNew });
}

async function send({ cli, place, flags, home }: Session, { checkpoint }: Sight): Promise<void> {
  if (place.kind !== "git") return;
  const run: RunProgram = (command, args) =>
    runProgram(command, args, { env: cli.ssh.env, timeoutMs: 120_000 });
  const { logId } = home.store;
  await commitKept(run, place.dir, logId, `countersign: ${checkpoint.size} entries of ${logId}`);
  if (flags.push === true) await pushKept(run, place.dir);
}

function say(session: Session, sight: Sight, { isFirst, isNew }: { isFirst: boolean; isNew: boolean }): void {
  const { cli, place, cosigner, home } = session;
  const { terminal } = cli;
  const { size, root } = sight.checkpoint;
  if (session.flags.json === true) {
    const { cosignedAt, key } = sight;
    const facts = {
      ok: true,
      log: home.store.logId,
      size,
      root,
      key,
      cosignedAt,
      first: isFirst,
      new: isNew,
    };
    terminal.json({ ...facts, witness: cosigner.vkey, place: place.dir }, { indent: 0 });
    return;
  }
  if (!isNew && session.flags.once !== true) return;
  terminal.out(`${size} entries, root ${root}: ${isNew ? "kept" : "nothing new"}`);
  for (const key of sight.rotatedTo) terminal.out(`the log's key is now ${neutralLine(key)}`);
  if (!isFirst) return;
  terminal.out(`first look: kept in ${neutralLine(place.dir)} with the log's key ${neutralLine(sight.key)}`);
  if (session.flags.key === undefined)
    terminal.out(terminal.paint.yellow("compare that key with the one that countersign init printed"));
}

const keptIn = ({ dir }: Place): string =>
  `keep what is in ${dir}; compare: countersign log verify --against ${dir}`;

async function refused({ cli, home, place, flags }: Session, refusal: WitnessRefusal): Promise<Error> {
  const evidence = await keepRefused(place, home.store.logId, refusal);
  if (flags.json === true) {
    const { kind, message } = refusal;
    cli.terminal.json({ ok: false, log: home.store.logId, kind, message, evidence }, { indent: 0 });
  }
  return alarm(cli, refusal.message, [`what it showed is kept in ${evidence}`, keptIn(place)]);
}

/** Nobody should take this for one line among others. */
function alarm({ terminal }: Cli, message: string, hints: readonly string[]): CountersignError {
  const bar = "=".repeat(Math.min(72, terminal.width));
  for (const line of [bar, "THE LOG IS NOT THE ONE THAT WAS WITNESSED. Approve nothing.", bar]) {
    terminal.note(terminal.paint.red(line));
  }
  return new CountersignError("LOG_ROLLED_BACK", message, { hint: hints.join("\n") });
}

function parseEvery(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 1_000) {
    throw usage(
      `"${neutralLine(text)}" is not how often`,
      `use ${formatDuration(1_000)} or more, such as 5m`,
    );
  }
  return ms;
}
