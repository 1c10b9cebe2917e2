import type { Verdict } from "../policy/policy.ts";
import { becauseOf } from "./evidence.ts";
import { unknownRequester, type Intake, type IntakeRefusal } from "./intake.ts";

/** What a call is denied with whose verdict is deny, or a hold that nobody can be asked about (C1). */
export function refusalOf(
  { unresolved }: Pick<Intake, "unresolved">,
  verdict: Verdict,
): IntakeRefusal & { readonly deniedBy: "policy" | "gate" } {
  const { rules } = verdict;
  const because = becauseOf(verdict);
  if (unresolved !== null && verdict.verdict !== "deny") {
    return { ...unknownRequester(unresolved), rules, because, deniedBy: "gate" };
  }
  return { code: "denied_by_policy", message: "the policy denies this", rules, because, deniedBy: "policy" };
}
