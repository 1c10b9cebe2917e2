import { resolve } from "node:path";
import { CountersignError, isFault } from "../errors.ts";
import { neutralLine } from "../base/text.ts";
import { runProgram } from "../consent/channels/cli/run-program.ts";
import { listLocalKeys, localKeyAt, type LocalKey } from "../consent/channels/cli/ssh-key.ts";
import type { Cli } from "./context.ts";
import { usage } from "./failure.ts";

// What `init` has to know. Each answer is a flag, or a question on the terminal; without a terminal, all are flags.

export interface InitFlags {
  readonly person?: string;
  readonly name?: string;
  readonly key?: string;
  readonly userVerified?: boolean;
  readonly agent?: string;
  readonly solo?: boolean;
  readonly team?: boolean;
  readonly approver?: string;
  readonly service?: string;
  readonly repository?: string;
  readonly environment?: string;
  readonly releases?: string;
  readonly yes?: boolean;
}

export interface InitAnswers {
  readonly person: string;
  readonly name: string;
  readonly key: LocalKey;
  /** Enrolled as a key that verifies its user (A3). */
  readonly userVerified: boolean;
  readonly agent: string;
  readonly solo: boolean;
  /** Who approves what the person's own agent asks; null where they are alone. */
  readonly colleague: { readonly id: string; readonly fingerprint: string } | null;
  readonly service: {
    readonly name: string;
    readonly repository: string;
    readonly environment: string;
    readonly releases: string;
  } | null;
}

const ID = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const ID_WORDS = "a name of a-z, 0-9, dot, dash and underscore";

/** Flags first, then questions. */
export async function initAnswers(cli: Cli, flags: InitFlags): Promise<InitAnswers> {
  demandFlags(cli, flags);
  const ask = asker(cli, flags);
  const login = cli.parts.around.env["USER"] ?? cli.parts.around.env["USERNAME"] ?? "";
  const person = await ask(
    flags.person,
    "--person",
    "your id in the policy",
    ID.test(login) ? login : "",
    isId,
  );
  const givenName = flags.name ?? (flags.yes === true ? person : undefined);
  const name = await ask(givenName, "--name", "your name, as others see it", person, isName);
  const key = await askKey(cli, flags);
  const userVerified = await askUserVerified(cli, flags, key);
  const agent = await ask(flags.agent, "--agent", "the agent's id", "claude-desktop", isId);
  const solo = await askSolo(cli, flags);
  const colleague = solo ? null : await askColleague(cli, flags, ask, person);
  return {
    person,
    name,
    key,
    userVerified,
    agent,
    solo,
    colleague,
    service: await askService(cli, flags, ask),
  };
}

type Check = (text: string) => string | null;
const isId: Check = (text) => (ID.test(text) ? null : `expected ${ID_WORDS}`);
const isName: Check = (text) =>
  text.length > 0 && text.length <= 200 && neutralLine(text) === text
    ? null
    : "expected a name without hidden characters";
const isPath: Check = (text) => (text.startsWith("/") ? null : "expected an absolute path");
const isSource: Check = (text) =>
  /^(\/|file:|ssh:|https:)/.test(text) ? null : "expected an absolute path, or a file, ssh or https URL";
const isEnvironment: Check = (text) =>
  /^[a-z][a-z0-9-]{0,40}$/.test(text) ? null : "expected a name in lower case, such as prod";

function demandFlags(cli: Cli, flags: InitFlags): void {
  if (flags.solo === true && (flags.team === true || flags.approver !== undefined)) {
    throw usage("say one of --solo and --team", "somebody alone has no other approver");
  }
  if (cli.terminal.interactive && flags.yes !== true) return;
  if (flags.yes !== true) {
    throw usage(
      "init asks questions and needs a terminal",
      "or answer all by flags: --yes --person --key --agent, and --solo or --team",
    );
  }
  const missing = [
    flags.person === undefined ? "--person" : null,
    flags.key === undefined ? "--key" : null,
    flags.agent === undefined ? "--agent" : null,
    flags.solo === undefined && flags.team === undefined ? "--solo or --team" : null,
    flags.team === true && flags.approver === undefined ? "--approver" : null,
    ...(flags.service === undefined
      ? []
      : [
          flags.repository === undefined ? "--repository" : null,
          flags.environment === undefined ? "--environment" : null,
          flags.releases === undefined ? "--releases" : null,
        ]),
  ].filter((flag) => flag !== null);
  if (missing.length > 0) throw usage(`--yes leaves nothing to ask, and ${missing.join(", ")} is missing`);
}

type Ask = (
  given: string | undefined,
  flag: string,
  question: string,
  fallback: string,
  check: Check,
) => Promise<string>;

function asker(cli: Cli, flags: InitFlags): Ask {
  return async (given, flag, question, fallback, check) => {
    if (given !== undefined) {
      const problem = check(given);
      if (problem !== null) throw usage(`${flag}: ${problem}, got "${neutralLine(given)}"`);
      return given;
    }
    if (flags.yes === true) throw usage(`${flag} is missing`);
    for (;;) {
      const answer = await cli.terminal.ask(`${question}${fallback === "" ? "" : ` [${fallback}]`}: `);
      if (answer === null) throw aborted();
      const text = answer === "" ? fallback : answer;
      const problem = check(text);
      if (problem === null) return text;
      cli.terminal.note(`  ${problem}`);
    }
  };
}

const aborted = (): CountersignError => usage("init was interrupted; nothing was written");

async function askKey(cli: Cli, flags: InitFlags): Promise<LocalKey> {
  if (flags.key === "new") return makeKey(cli);
  if (flags.key !== undefined) return localKeyAt(resolve(cli.parts.around.cwd, flags.key), cli.ssh);
  const keys = await listLocalKeys(cli.ssh);
  const { terminal } = cli;
  terminal.note("\nthe key you will approve with:");
  for (const [i, key] of keys.entries()) {
    terminal.note(
      `  ${i + 1}  ${key.fingerprint}  ${neutralLine(key.comment)}${key.file === null ? " (in the agent only)" : ""}`,
    );
  }
  terminal.note(`  ${keys.length + 1}  make a new one, with a passphrase`);
  for (;;) {
    const answer = await terminal.ask(`choose 1 to ${keys.length + 1}: `);
    if (answer === null) throw aborted();
    const choice = Number(answer);
    if (choice === keys.length + 1) return makeKey(cli);
    const key = /^\d{1,3}$/.test(answer) ? keys[choice - 1] : undefined;
    if (key !== undefined) return key;
  }
}

/** A key of its own for approvals, so that its passphrase is asked for nothing else. ssh-keygen asks for it. */
async function makeKey(cli: Cli): Promise<LocalKey> {
  if (!cli.terminal.interactive)
    throw usage(
      "a new key is made in a terminal, where its passphrase is asked",
      "name one that exists: --key FILE",
    );
  const file = `${cli.ssh.keyDir}/countersign_ed25519`;
  cli.terminal.note(`making ${file}; choose a passphrase that only you know`);
  const run = await runProgram("ssh-keygen", ["-q", "-t", "ed25519", "-C", "countersign", "-f", file], {
    env: cli.ssh.env,
    terminal: true,
  });
  if (run.exitCode !== 0) {
    throw new CountersignError("SIGNING_FAILED", "ssh-keygen made no key", {
      hint: `or name one that exists: --key FILE`,
    });
  }
  return localKeyAt(file, cli.ssh);
}

/** Only a key on a token can verify its user, and only the person knows whether it was made to. */
async function askUserVerified(cli: Cli, flags: InitFlags, key: LocalKey): Promise<boolean> {
  if (!key.type.startsWith("sk-")) {
    if (flags.userVerified === true)
      throw usage(`--user-verified is for sk- keys, and this is ${neutralLine(key.type)}`);
    return false;
  }
  if (flags.userVerified !== undefined || flags.yes === true) return flags.userVerified === true;
  return askYes(cli, "was this key made with -O verify-required, so that it asks for a PIN? [y/N] ");
}

async function askSolo(cli: Cli, flags: InitFlags): Promise<boolean> {
  if (flags.solo === true) return true;
  if (flags.team === true || flags.approver !== undefined || flags.yes === true) return false;
  cli.terminal.note(
    "\nnobody may approve what their own agent asks, unless they are alone and the policy says so.",
  );
  return askYes(cli, "are you alone with this agent? [y/N] ");
}

/** A policy whose only approver owns the agent can hold calls and never let one through, so it does not load (C7). */
async function askColleague(
  cli: Cli,
  flags: InitFlags,
  ask: Ask,
  person: string,
): Promise<{ readonly id: string; readonly fingerprint: string }> {
  const given = flags.approver?.indexOf("=") ?? -1;
  if (flags.approver !== undefined && given < 1) {
    throw usage(
      `--approver: expected ID=KEY, got "${neutralLine(flags.approver)}"`,
      "--approver ben=ben.pub, or --approver ben=SHA256:...",
    );
  }
  const isOther: Check = (text) => (text === person ? "expected somebody else" : isId(text));
  const id = await ask(
    flags.approver?.slice(0, given),
    "--approver",
    "who approves what your agent asks: their id",
    "",
    isOther,
  );
  for (;;) {
    const named = await ask(
      flags.approver?.slice(given + 1),
      "--approver",
      "their SSH key: a .pub file, or SHA256:...",
      "",
      isKeyName,
    );
    if (named.startsWith("SHA256:")) return { id, fingerprint: named };
    try {
      return {
        id,
        fingerprint: (await localKeyAt(resolve(cli.parts.around.cwd, named), cli.ssh)).fingerprint,
      };
    } catch (error) {
      if (flags.approver !== undefined || !isFault(error)) throw error;
      cli.terminal.note(`  ${error.message}`);
    }
  }
}

const isKeyName: Check = (text) =>
  /^SHA256:[A-Za-z0-9+/]{43}$/.test(text) || text.endsWith(".pub")
    ? null
    : "expected a .pub file, or SHA256: and 43 characters";

async function askYes(cli: Cli, question: string): Promise<boolean> {
  const answer = await cli.terminal.ask(question);
  if (answer === null) throw aborted();
  return /^y(es)?$/i.test(answer);
}

async function askService(cli: Cli, flags: InitFlags, ask: Ask): Promise<InitAnswers["service"]> {
  if (flags.service === undefined) {
    if (flags.yes === true || !(await askYes(cli, "\nregister a service that agents may deploy? [y/N] ")))
      return null;
  }
  return {
    name: await ask(flags.service, "--service", "its name", "web", isId),
    repository: await ask(flags.repository, "--repository", "its git repository", "", isSource),
    environment: await ask(flags.environment, "--environment", "its environment", "prod", isEnvironment),
    releases: await ask(flags.releases, "--releases", "directory for its releases", "", isPath),
  };
}
