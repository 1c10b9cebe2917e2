import { meets } from "../policy/verdict.ts";
import type { PolicyPeople } from "./policy-document.ts";
import { CLOCK_SLACK_MS, type Problem } from "./verify-decision.ts";
import type { Step } from "./verify-order.ts";
import type { OpenRequest } from "./verify-phase.ts";
import { groupsAsked } from "./verify-waiting.ts";

// What a grant rests on, and what is spent of it.
//
//   G1. Nothing executes without a grant. G2. A grant rests on an allow verdict or on a requirement met over one
//       question. G3. A grant is spent in its time.

/** What is wrong with a grant. `people` are those of the policy that the entry names, where it is at hand. */
export function checkGrant(
  step: Step<"grant.minted">,
  request: OpenRequest,
  people: PolicyPeople | null,
): readonly Problem[] {
  const { basis, question, plan } = step.data;
  const rests = (message: string): Problem => ({ code: "grant_without_basis", message, rule: "G2" });
  if (basis === "verdict") {
    if (request.planned?.verdict !== "allow") return [rests("the verdict was not allow")];
    const shown = request.planned.plan?.digest;
    return shown !== undefined && shown !== plan ? [rests("the grant names another plan")] : [];
  }
  const { asked } = request;
  if (asked === null || !request.settled) return [rests("nobody's consent was settled")];
  const problems: Problem[] = [];
  if (question !== asked.digest) problems.push(rests("the grant names another question"));
  if (plan !== asked.question.plan) problems.push(rests("the grant names another plan"));
  for (const [index, clause] of asked.requirement.clauses.entries()) {
    const by = new Set<string>();
    const groups = groupsAsked(asked, request.waiting, index);
    for (const { person, assurance, serves, stands } of request.approvals) {
      if (!stands || !meets(assurance as typeof clause.assurance, clause.assurance)) continue;
      if (!serves.includes(index)) continue;
      if (people === null || people.isMember(person, groups)) by.add(person);
    }
    if (by.size >= clause.count) continue;
    const wanted = `${clause.count} of ${clause.from.join(", ")} with ${clause.assurance}`;
    problems.push(rests(`the requirement was not met: ${wanted} wanted, ${by.size} approved`));
  }
  if (asked.requirement.clauses.length === 0) problems.push(rests("the requirement has no clause"));
  return problems;
}

/** What is wrong with a claim or a dispatch of a request that stands where it may. */
export function checkSpend(
  step: Step<"execution.claimed" | "execution.dispatched">,
  request: OpenRequest,
): readonly Problem[] {
  const { grant } = request;
  if (grant === null) return [];
  if (step.data.grant !== grant.id) {
    const message = `the grant is ${grant.id}, not ${step.data.grant}`;
    return [{ code: "execution_without_grant", message, rule: "G1" }];
  }
  if (step.at <= grant.executeBy + CLOCK_SLACK_MS) return [];
  return [{ code: "grant_expired", message: "the grant's time was over", rule: "G3" }];
}
