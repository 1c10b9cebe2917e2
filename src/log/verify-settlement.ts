import type { ConsentEntries } from "../consent/entries.ts";
import type { ExecutionEntries } from "../execution/entries.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes } from "../execution/settlement.ts";
import { meets } from "../policy/verdict.ts";
import type { FindingCode } from "./finding.ts";
import type { PolicyPeople } from "./policy-document.ts";
import type { Problem } from "./verify-decision.ts";
import { checkProof, type KnownCredential } from "./verify-proof.ts";

/**
 * What is wrong with a person's signed word about an unknown outcome. A settlement without a signature is the gateway's
 * own account's word, and the entry shows that: nothing to check. `asked` is null where the policy had allowed it.
 */
export function checkSettlement(parts: {
  readonly resolved: ExecutionEntries["execution.resolved"];
  readonly request: string;
  readonly grant: string | null;
  readonly asked: ConsentEntries["consent.asked"] | null;
  readonly people: PolicyPeople | null;
  /** Time of the entry, epoch milliseconds. */
  readonly at: number;
  /** Passkeys that entries before enrolled. */
  readonly credentialOf: (id: string) => KnownCredential | null;
}): readonly Problem[] {
  const { resolved, asked, people } = parts;
  const problems: Problem[] = [];
  const problem = (code: FindingCode, message: string, rule?: string): void => {
    problems.push(rule === undefined ? { code, message } : { code, message, rule });
  };
  if (parts.grant !== null && resolved.grant !== parts.grant)
    problem(
      "outcome_without_dispatch",
      `the outcome is of ${resolved.grant}, the grant ${parts.grant}`,
      "X1",
    );
  if (resolved.signed === undefined) return problems;
  const { statement, proof } = resolved.signed;
  const says =
    statement.typ === "countersign.settlement" &&
    statement.v === 1 &&
    statement.request === parts.request &&
    statement.grant === resolved.grant &&
    statement.outcome === resolved.outcome &&
    statement.message === resolved.message &&
    statement.approver === resolved.person &&
    resolved.by === "person";
  if (!says) problem("statement_mismatch", "the settlement says another thing than its entry");
  const person = statement.approver;
  const notAsked = (groups: readonly string[]): void => {
    if (people?.isMember(person, groups) === false)
      problem("not_eligible", `${person} could not have decided on what they settled`, "C2");
  };
  // What had needed nobody is settled by those who may change the rule that let it through.
  if (asked === null) notAsked(people?.policyChange?.by ?? []);
  else {
    const { principal, owners, chain } = asked.question.requester;
    const involved =
      (principal.kind === "person" && principal.id === person) || [...owners, ...chain].includes(person);
    if (involved && asked.requirement.solo !== person)
      problem("self_approval", `${person} asked for what they settled, or owns the agent that did`, "C1");
    notAsked(
      asked.requirement.clauses.flatMap(({ from, escalate = [] }) => [
        ...from,
        ...escalate.flatMap(({ to }) => to),
      ]),
    );
  }
  const { shows } = checkProof(
    {
      bytes: settlementBytes(statement),
      namespace: SETTLEMENT_NAMESPACE,
      ...{ proof, person, people, at: parts.at, credentialOf: parts.credentialOf },
    },
    problem,
  );
  if (shows !== null && !meets(shows, "A2"))
    problem("assurance_overstated", `a settlement takes A2, and ${shows} is shown`, "C3");
  return problems;
}
