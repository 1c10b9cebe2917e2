import * as z from "zod";
import { FRESH_SESSION_MS } from "../../consent/attest.ts";
import type { OpenQuestion } from "../../consent/desk.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode } from "../../consent/entries.ts";
import { isInvolved } from "../../consent/people.ts";
import type { Assurance, Clause } from "../../policy/verdict.ts";
import type { RequestSummary } from "../../request/summary.ts";
import { callerOf, mayUse, personOf, type Actor } from "./actor.ts";
import { assurance } from "./documents.ts";

// What whoever looks may do with a request, and why not. For showing the right buttons only: whoever acts is judged
// again, by the desk and the gate.

const barred = z.strictObject({ ok: z.literal(false), code: z.string(), message: z.string() });
const allowed = z.strictObject({ ok: z.literal(true) });
const may = z.discriminatedUnion("ok", [allowed, barred]);

export const capabilities = z
  .strictObject({
    approve: z.discriminatedUnion("ok", [
      z.strictObject({
        ok: z.literal(true),
        needs: assurance.describe("The weakest proof that counts for any clause of this person's."),
        full: assurance.describe("The proof that counts for all of them."),
      }),
      barred,
    ]),
    deny: may,
    take_back: may,
    inquire: may,
    answer: may,
    withdraw: may,
    settle: may,
    session: assurance.nullable().describe("What this session's own word is worth now; null for a token."),
  })
  .meta({ id: "Can", description: "What whoever asks may do, and why not." });

export type Capabilities = z.input<typeof capabilities>;
type Barred = z.input<typeof barred>;
type May = z.input<typeof may>;

export interface CapabilityParts {
  readonly actor: Actor;
  readonly summary: RequestSummary;
  /**
   * Null where nobody is asked about it. `eligible`: by clause, whose approval would count now; without it, whoever is a
   * member of the groups that are asked.
   */
  readonly open: (OpenQuestion & { readonly eligible?: readonly (readonly string[])[] }) | null;
  readonly now: number;
}

const YES: May = { ok: true };
const no = (code: string, message: string): Barred => ({ ok: false, code, message });
const refusedBy = (code: DecisionRefusalCode): Barred => no(code, DECISION_REFUSALS[code]);

export function capabilitiesOf(parts: CapabilityParts): Capabilities {
  const { actor, summary, now } = parts;
  const person = personOf(actor);
  const isRequester = isOwn(actor, summary);
  const isUnknown = summary.phase === "unknown";
  const session =
    actor.kind === "session" ? (now - actor.session.signedInAt <= FRESH_SESSION_MS ? "A2" : "A1") : null;
  const decides = decisionsOf(parts, person);
  return {
    ...decides,
    answer: !isRequester
      ? no("not_yours", "only whoever asked answers for the agent")
      : summary.phase === "held"
        ? YES
        : no("already_settled", `the request is ${summary.phase}`),
    withdraw: !isRequester
      ? no("not_yours", "only whoever asked takes it back")
      : isWithdrawable(summary)
        ? YES
        : no("already_settled", `the request is ${summary.phase}`),
    settle: !isUnknown
      ? no("not_unknown", `its outcome is not unknown: it is ${summary.phase}`)
      : person === null && !mayUse(actor, "statements:write")
        ? no("scope_missing", "the token lacks the scope statements:write")
        : YES,
    session,
  };
}

type Decides = Pick<Capabilities, "approve" | "deny" | "take_back" | "inquire">;

function decisionsOf(parts: CapabilityParts, person: string | null): Decides {
  const { actor, open, now } = parts;
  const all = (why: Barred): Decides => ({ approve: why, deny: why, take_back: why, inquire: why });
  if (open === null) return all(no("already_settled", "nobody is asked about it any more"));
  if (person === null) {
    // A token hands in what people signed; who they are stands in what they signed.
    const why = mayUse(actor, "statements:write")
      ? null
      : no("scope_missing", "the token lacks the scope statements:write");
    const [needs, full] = range(open.requirement.clauses);
    const handsIn: May = why ?? YES;
    return {
      approve: why ?? { ok: true, needs, full },
      deny: handsIn,
      take_back: handsIn,
      inquire: no("needs_session", "only a person who signed in asks the agent"),
    };
  }
  if (now >= open.deadline) return all(refusedBy("expired"));
  const { requester } = open.question;
  if (isInvolved(requester, person) && open.requirement.solo !== person)
    return all(refusedBy("self_approval"));
  const theirs = open.requirement.clauses.filter((_, i) => open.eligible[i]?.includes(person) === true);
  if (theirs.length === 0) return all(refusedBy("not_eligible"));
  const stands =
    open.decisions.findLast((one) => one.person === person && one.counted)?.decision === "approve";
  const [needs, full] = range(theirs);
  return {
    approve: stands
      ? refusedBy("duplicate")
      : open.view.preview.complete
        ? { ok: true, needs, full }
        : refusedBy("partial_view"),
    deny: YES,
    take_back: stands ? YES : refusedBy("nothing_to_take_back"),
    inquire: YES,
  };
}

function range(clauses: readonly Clause[]): readonly [Assurance, Assurance] {
  const levels = clauses.map((clause) => clause.assurance).sort();
  return [levels[0] ?? "A2", levels.at(-1) ?? "A2"];
}

const isWithdrawable = ({ phase }: RequestSummary): boolean =>
  phase === "received" || phase === "planned" || phase === "held" || phase === "granted";

/** Whether this is who asked: a token of the same principal and agent, or the principal's own session. */
export function isOwn(actor: Actor, { principal, agent }: RequestSummary): boolean {
  const caller = callerOf(actor);
  if (caller !== null)
    return caller.principal.kind === "named" && caller.principal.id === principal && caller.agent === agent;
  return personOf(actor) === principal;
}
