import { verifySshSignature } from "../base/sshsig.ts";
import { chooseKey, listLocalKeys, localKeyAt, type SignerKey } from "../consent/channels/cli/ssh-key.ts";
import { parseStatementFile } from "../consent/channels/cli/statement-file.ts";
import type { WitnessRefusal } from "../consent/channels/cli/witness.ts";
import type { DecisionAnswer, OpenQuestion } from "../consent/desk.ts";
import type { Proof } from "../consent/entries.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../consent/statement.ts";
import { CountersignError } from "../errors.ts";
import type { Home } from "../gate/home.ts";
import { confirmDecision } from "./confirm-decision.ts";
import type { Cli } from "./context.ts";
import { usage } from "./failure.ts";
import { openQuestion, showOutcome } from "./find-request.ts";
import { formatMoment, localZone } from "./moment.ts";
import { readHandedIn, writeStatement } from "./offline-statement.ts";
import { offersApproval, renderQuestion } from "./render-question.ts";
import { signWithKey } from "./sign-with-key.ts";

// How a decision is made in the terminal: look at the log, show the whole question, ask, sign, hand in.
//
//   C4. What can't be shown whole can't be approved.
//   C6. Someone alone is asked on the terminal, every time; no flag answers for them.
//   W2. An approval is never signed over a log that does not extend the one this account saw before. A deny, and taking
//       an approval back, are: failing safe has to stay cheap (C3). They then say nothing about the log.

export interface DecisionOptions {
  readonly key?: string | undefined;
  readonly as?: string | undefined;
  readonly reason?: string | undefined;
  /** Of a deny: the agent may correct the call and ask again. */
  readonly fixable?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly code?: string | undefined;
  readonly wait?: boolean | undefined;
  readonly printStatement?: string | undefined;
  readonly statement?: string | undefined;
  readonly signature?: string | undefined;
}

/** Decides on the request that `reference` names. Gives the exit code. */
export async function decideInTerminal(
  cli: Cli,
  home: Home,
  decision: Statement["decision"],
  reference: string,
  options: DecisionOptions,
): Promise<number> {
  const open = await openQuestion(home, reference);
  if (decision === "approve" && !offersApproval(open)) {
    throw new CountersignError(
      "DECISION_REFUSED",
      "the view is not complete, so it can only be denied (partial_view)",
      {
        hint: `look at it: countersign show ${open.code}; deny it: countersign deny ${open.code}`,
      },
    );
  }
  const log = await witnessed(cli, home, decision);
  if (options.signature !== undefined) return handIn(cli, home, open, decision, options.signature, options);

  const signer = await chooseSigner(cli, home, open, decision, options);
  const shown = renderQuestion(open, {
    width: cli.terminal.width,
    paint: cli.terminal.paint,
    now: cli.parts.clock.now(),
    zone: localZone(),
    reader: { person: signer.person },
  });
  cli.terminal.out(`${shown.text}\n`);
  const draft = await home.desk.draft(open.request, {
    decision,
    person: signer.person,
    reason: options.reason ?? null,
    log,
    fixable: options.fixable === true,
  });
  demandOwnDraft(draft, { decision, question: open.digest, approver: signer.person, log });
  if (options.printStatement !== undefined) {
    const statement = { bytes: statementBytes(draft), namespace: SSHSIG_NAMESPACE };
    const handInWith = `${decision.replace("_", "-")} ${open.code}`;
    await writeStatement(cli.terminal, statement, options.printStatement, handInWith);
    return 0;
  }
  if (!(await confirmDecision(cli.terminal, open, draft, options))) {
    cli.terminal.note("nothing was signed");
    return 1;
  }
  const proof = await signWithKey(cli, signer, {
    bytes: statementBytes(draft),
    namespace: SSHSIG_NAMESPACE,
    solo: draft.solo && decision === "approve",
  });
  return submit(cli, home, open, draft, proof, options);
}

/** Checks the log against this account's memory. Null: not checked, and the statement then says so. */
async function witnessed(cli: Cli, home: Home, decision: Statement["decision"]): Promise<Statement["log"]> {
  const looked = await cli.witness.look(home.store, home.settings.home);
  if (looked.ok) return { size: looked.value.head.size, root: looked.value.head.root };
  const fault = rolledBack(looked.error);
  if (decision === "approve") throw fault;
  cli.terminal.note(`${cli.terminal.paint.red("warning:")} ${fault.message}`);
  return null;
}

/** What to say of a log that does not extend what this account has seen. */
export function rolledBack(refusal: WitnessRefusal): CountersignError {
  if (refusal.kind === "other_log") {
    const { seen, now, memory } = refusal;
    return new CountersignError(
      "LOG_ROLLED_BACK",
      `this home held ${seen} when you last looked, and now ${now}`,
      {
        hint: `sign nothing; find out who replaced the home. If it was made anew on purpose, remove ${memory}`,
        details: { seen, now },
      },
    );
  }
  const { seen, now } = refusal;
  const what =
    refusal.kind === "shorter"
      ? `the log has ${now.size} entries, and you have seen ${seen.size}`
      : `the log is not a continuation of the ${seen.size} entries you have seen`;
  return new CountersignError("LOG_ROLLED_BACK", `${what}; an approval would countersign a rewritten log`, {
    hint: "sign nothing; find out who restored or edited the home, and compare with a receipt or a colleague's memory",
    details: { seen, now },
  });
}

async function chooseSigner(
  cli: Cli,
  home: Home,
  open: OpenQuestion,
  decision: Statement["decision"],
  options: DecisionOptions,
): Promise<SignerKey> {
  const keys =
    options.key === undefined ? await listLocalKeys(cli.ssh) : [await localKeyAt(options.key, cli.ssh)];
  return chooseKey(keys, home.adoption.current().people, {
    ...(options.as === undefined ? {} : { person: options.as }),
    userVerified: open.requirement.clauses.some(({ assurance }) => assurance >= "A3"),
    // C6 is about approving; failing safe stays cheap (C3).
    soloPerson: decision === "approve" ? open.requirement.solo : null,
  });
}

/** The statement has to be the one that was asked for, about the question that was shown. */
function demandOwnDraft(
  draft: Statement,
  wanted: Pick<Statement, "decision" | "question" | "approver" | "log">,
): void {
  const same =
    draft.decision === wanted.decision &&
    draft.question === wanted.question &&
    draft.approver === wanted.approver &&
    draft.log?.root === wanted.log?.root &&
    draft.log?.size === wanted.log?.size;
  if (same) return;
  throw new CountersignError(
    "SIGNING_FAILED",
    "the statement to sign is not about the question that was shown",
    {
      hint: "sign nothing; check the log: countersign log verify",
    },
  );
}

/** Takes a signature that was made elsewhere, with the statement it is over. */
async function handIn(
  cli: Cli,
  home: Home,
  open: OpenQuestion,
  decision: Statement["decision"],
  signatureFile: string,
  options: DecisionOptions,
): Promise<number> {
  const given = await readHandedIn(signatureFile, options.statement);
  const statement = parseStatementFile(given.bytes);
  if (statement.decision !== decision) {
    const right = statement.decision.replace("_", "-");
    throw usage(`this is a statement to ${right}`, `countersign ${right} ${open.code} --signature FILE`);
  }
  if (statement.question !== open.digest) {
    throw new CountersignError(
      "DECISION_REFUSED",
      "the statement is about another question (digest_mismatch)",
      {
        hint: "write it again: --print-statement FILE",
      },
    );
  }
  const { signature: armoured, bytes: message } = given;
  const verified = verifySshSignature({ armoured, message, namespace: SSHSIG_NAMESPACE });
  if (!verified.ok) {
    throw new CountersignError(
      "SIGNATURE_INVALID",
      `the signature does not verify: ${verified.error.message}`,
      {
        hint: `sign the file as it is: ssh-keygen -Y sign -n ${SSHSIG_NAMESPACE} -f KEY FILE`,
      },
    );
  }
  const { fingerprint } = verified.value;
  // C6: whether a passphrase was asked elsewhere can't be known here. Only a key that verifies its user proves it alone.
  const person = home.adoption.current().people.get(statement.approver);
  const isVerified = person?.ssh.some((key) => key.fingerprint === fingerprint && key.userVerified) === true;
  if (statement.solo && statement.decision === "approve" && !isVerified) {
    throw new CountersignError(
      "DECISION_REFUSED",
      "an approval by someone alone is signed on this terminal (C6)",
      {
        hint: `countersign approve ${open.code}`,
      },
    );
  }
  const proof: Proof = { kind: "sshsig", signature: armoured, fingerprint, channel: "cli" };
  return submit(cli, home, open, statement, proof, options);
}

async function submit(
  cli: Cli,
  home: Home,
  open: OpenQuestion,
  statement: Statement,
  proof: Proof,
  options: DecisionOptions,
): Promise<number> {
  const decided = await home.desk.decide(statement, proof);
  if (!decided.ok) {
    const { code, message } = decided.error;
    throw new CountersignError("DECISION_REFUSED", `${message} (${code})`, {
      hint: `see: countersign show ${open.request}`,
    });
  }
  const exitCode = printAnswer(cli, open, decided.value);
  const waits = options.wait ?? cli.terminal.interactive;
  if (decided.value.state === "granted" && waits) {
    const granted = {
      request: open.request,
      execute: open.question.execute,
      executeBy: decided.value.executeBy,
    };
    await showOutcome(home, granted, cli.terminal, OUTCOME_WAIT_MS);
  }
  return exitCode;
}

const OUTCOME_WAIT_MS = 15_000;

function printAnswer(cli: Cli, open: OpenQuestion, answer: DecisionAnswer): number {
  const { terminal } = cli;
  const { green, red, yellow } = terminal.paint;
  const still = (quorum: OpenQuestion["quorum"]): string =>
    quorum.clauses
      .filter(({ missing }) => missing > 0)
      .map(({ clause, missing }) => `${missing} more of ${clause.from.join(" or ")}`)
      .join(", ");
  switch (answer.state) {
    case "recorded":
      terminal.out(`${green("recorded")} ${open.code}; it needs ${still(answer.quorum)}`);
      return 0;
    case "granted":
      terminal.out(
        `${green("granted")} ${open.code}${answer.solo ? " (solo)" : ""}; it runs by ${formatMoment(Date.parse(answer.executeBy), localZone())}`,
      );
      return 0;
    case "denied":
      terminal.out(`${red("denied")} ${open.code}`);
      return 0;
    case "taken_back":
      terminal.out(`${yellow("taken back")} ${open.code}; it needs ${still(answer.quorum)}`);
      return 0;
    case "not_counted":
      terminal.out(
        `${red("not counted")} ${open.code}: ${answer.code}; recorded, and it needs ${still(answer.quorum)}`,
      );
      return 1;
  }
}
