import { readFile, writeFile } from "node:fs/promises";
import { neutralLine } from "../base/text.ts";
import { inertJson } from "./terminal.ts";
import { chooseKey, listLocalKeys, localKeyAt } from "../consent/channels/cli/ssh-key.ts";
import { parseSignedAdoption, type SignedAdoption } from "../consent/channels/cli/statement-file.ts";
import { CountersignError } from "../errors.ts";
import type { Home, Proposal } from "../gate/home.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../policy/adoption-statement.ts";
import type { Cli } from "./context.ts";
import { usage } from "./failure.ts";
import { rolledBack } from "./sign-decision.ts";
import { signWithKey } from "./sign-with-key.ts";

// How a policy is adopted in the terminal: look at the log, show what changes, ask, sign, hand in (P6).
//
//   C6. For someone alone, adopting is as good as approving everything: the same key file with a passphrase, asked on
//       the terminal every time, and no flag answers for them.

export interface AdoptOptions {
  readonly key?: string;
  readonly as?: string;
  readonly save?: string;
  readonly endorse?: boolean;
  readonly with?: readonly string[];
  readonly yes?: boolean;
  readonly revision?: string;
}

/** Shows the proposal and adopts it, or saves a statement for whoever will. Gives the exit code. */
export async function adoptInTerminal(cli: Cli, home: Home, options: AdoptOptions): Promise<number> {
  const { terminal } = cli;
  const proposal = await home.adoption.proposal();
  if (proposal.revision === null) {
    throw new CountersignError("POLICY_INVALID", proposal.errors[0] ?? "the policy file does not load", {
      hint: "correct it, then see: countersign policy check",
      details: { errors: proposal.errors },
    });
  }
  if (!proposal.changed) {
    terminal.out(`nothing to adopt: revision ${proposal.revision} runs already`);
    return 0;
  }
  showProposal(cli, home, proposal);
  const others = await Promise.all((options.with ?? []).map(readSigned));
  if (options.endorse === true && (options.save !== undefined || others.length > 0)) {
    throw usage("--endorse records your own signature only", "leave out --save and --with");
  }
  if (proposal.needs === null) {
    if (!(await confirmed(cli, proposal.revision, options, false))) return notSigned(cli);
    return adopt(cli, home, others);
  }

  // An adoption countersigns the log as an approval does, so it has to extend what this account has seen (W2).
  const looked = await cli.witness.look(home.store, home.settings.home);
  if (!looked.ok) throw rolledBack(looked.error);
  const policy = home.adoption.current();
  const keys =
    options.key === undefined ? await listLocalKeys(cli.ssh) : [await localKeyAt(options.key, cli.ssh)];
  const signer = chooseKey(keys, policy.people, {
    ...(options.as === undefined ? {} : { person: options.as }),
    userVerified: proposal.needs.assurance >= "A3",
    soloPerson: policy.solo,
  });
  const solo = policy.solo === signer.person;
  const statement = await home.adoption.draft(signer.person);
  if (statement.to.policy !== proposal.revision || statement.approver !== signer.person) {
    throw new CountersignError(
      "SIGNING_FAILED",
      "the statement to sign is not about the proposal that was shown",
      {
        hint: "the file changed while you looked; run the command again",
      },
    );
  }
  if (!(await confirmed(cli, proposal.revision, options, solo))) return notSigned(cli);
  const bytes = adoptionBytes(statement);
  const proof = await signWithKey(cli, signer, { bytes, namespace: ADOPTION_NAMESPACE, solo });
  const own: SignedAdoption = { statement, proof };
  if (options.save !== undefined) return save(cli, own, options.save);
  if (options.endorse === true) return endorse(cli, home, own);
  return adopt(cli, home, [...others, own]);
}

function showProposal(cli: Cli, home: Home, proposal: Proposal): void {
  const { terminal } = cli;
  const { paint } = terminal;
  terminal.out(`runs now   ${home.adoption.current().revision}`);
  terminal.out(`proposed   ${proposal.revision ?? ""}`);
  terminal.out("");
  for (const { text, weaker } of proposal.diff) {
    const shown = neutralLine(text);
    terminal.out(weaker ? `  ${paint.red(`! ${shown}`)}` : `    ${shown}`);
  }
  if (proposal.diff.length === 0) terminal.out("    registrations only; the rules are the same");
  const weaker = proposal.diff.filter((line) => line.weaker).length;
  if (weaker > 0) terminal.out(`\n${paint.red(`${weaker} of these lines ask for less than before`)}`);
  const { needs } = proposal;
  terminal.out(
    needs === null
      ? "\nneeds nobody: the policy adopts on save"
      : `\nneeds ${needs.quorum} of ${needs.by.map(neutralLine).join(" or ")}, proof ${needs.assurance} or better`,
  );
  for (const { person, at, assurance, counts } of proposal.endorsements) {
    const worth = counts ? assurance : `${assurance}, which does not count`;
    terminal.out(`  signed by ${neutralLine(person)} at ${at}, ${worth}`);
  }
}

async function confirmed(cli: Cli, revision: string, options: AdoptOptions, solo: boolean): Promise<boolean> {
  const { terminal } = cli;
  if (options.yes === true && !solo) {
    if (options.revision === undefined)
      throw usage(
        "--yes needs --revision, so that it adopts this proposal and no other",
        `--yes --revision ${revision}`,
      );
    if (options.revision === revision) return true;
    throw usage("--revision is not the revision of the file", `the file's is ${revision}`);
  }
  if (solo && options.yes === true)
    throw usage("--yes never adopts for someone alone (C6)", "leave it out and answer on the terminal");
  if (!terminal.interactive) throw usage("an adoption needs a terminal, or --yes with --revision");
  const answer = await terminal.ask("adopt exactly this? [y/N] ");
  return answer !== null && /^y(es)?$/i.test(answer);
}

function notSigned(cli: Cli): number {
  cli.terminal.note("nothing was signed");
  return 1;
}

async function adopt(cli: Cli, home: Home, statements: readonly SignedAdoption[]): Promise<number> {
  const revision = await home.adoption.adopt(statements);
  cli.terminal.out(`${cli.terminal.paint.green("adopted")} ${revision}`);
  return 0;
}

async function endorse(cli: Cli, home: Home, { statement, proof }: SignedAdoption): Promise<number> {
  const endorsed = await home.adoption.endorse(statement, proof);
  const { terminal } = cli;
  if (endorsed.state === "adopted") terminal.out(`${terminal.paint.green("adopted")} ${endorsed.revision}`);
  else {
    const others = endorsed.missing === 1 ? "one more person signs" : `${endorsed.missing} more people sign`;
    terminal.out(`endorsed ${statement.to.policy}; it runs once ${others}`);
  }
  return 0;
}

async function save(cli: Cli, own: SignedAdoption, file: string): Promise<number> {
  await writeFile(file, `${inertJson(own)}\n`, { flag: "wx", mode: 0o600 }).catch(
    (cause: NodeJS.ErrnoException) => {
      throw usage(
        `${neutralLine(file)} ${cause.code === "EEXIST" ? "exists already" : "cannot be written"}`,
        "name another file",
      );
    },
  );
  cli.terminal.out(
    `wrote ${neutralLine(file)}; whoever adopts adds it: countersign policy adopt --with ${neutralLine(file)}`,
  );
  return 0;
}

async function readSigned(file: string): Promise<SignedAdoption> {
  const text = await readFile(file, "utf8").catch(() => {
    throw usage(`${neutralLine(file)} cannot be read`, "name a file that policy adopt --save wrote");
  });
  return parseSignedAdoption(text);
}
