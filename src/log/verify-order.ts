import { statementDigest } from "../consent/statement.ts";
import { parseTimestamp } from "../base/clock.ts";
import type { ConsentEntries } from "../consent/entries.ts";
import type { EntryData, EntryKind } from "./entry.ts";
import type { TreeHash } from "./merkle.ts";
import type { PolicyPeople } from "./policy-document.ts";
import { createAdoptionCheck } from "./verify-adoption.ts";
import { createCredentialCheck, type CredentialStep } from "./verify-credential.ts";
import { checkAsked, checkDecision, type DecisionFacts, type Problem } from "./verify-decision.ts";
import { checkGrant, checkSpend } from "./verify-grant.ts";
import {
  expectPhase,
  newRequest,
  type ClosedPhase,
  type Known,
  type OpenPhase,
  type OpenRequest,
} from "./verify-phase.ts";
import { passkeyOf } from "./verify-proof.ts";
import { checkSettlement } from "./verify-settlement.ts";
import { checkEscalated, checkInquiry, checkServed } from "./verify-waiting.ts";

// Replays the entries of every request against the rules that may never break. Independent of the engine's own fold
// on purpose: a verifier that shares the engine's code shares its mistakes.
//
//   C1. Of a requester whom the policy did not know there are reads alone, and nobody is asked about them.
//   G1. Nothing executes without a grant. G2. A grant rests on an allow verdict or on a requirement met over one
//       question. G3. A grant is spent once, in its time. X1. Claim, dispatch, outcome, in this order.
//   X3. A lease belongs to a dispatched request.

/** An entry as the verifier sees it; `data` is unchecked. */
export interface Step<K extends EntryKind = EntryKind> {
  readonly kind: K;
  readonly subject: string;
  readonly policy: string | null;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly data: EntryData[K];
}

export interface StepResult {
  readonly problems: readonly Problem[];
  /** Set for `decision.recorded`. */
  readonly decision?: {
    readonly recorded: ConsentEntries["decision.recorded"];
    readonly facts: DecisionFacts;
  };
}

/** Kinds whose data has to be read; of all others the head of the line is enough. */
export const NEEDS_DATA: ReadonlySet<string> = new Set<EntryKind>([
  "log.opened",
  "log.key_rotated",
  "policy.adopted",
  "request.planned",
  "consent.asked",
  "decision.recorded",
  "consent.escalated",
  "inquiry.made",
  "inquiry.answered",
  "consent.settled",
  "grant.minted",
  "execution.claimed",
  "execution.dispatched",
  "execution.settled",
  "execution.resolved",
  "lease.opened",
  "credential.endorsed",
  "credential.invited",
  "credential.enrolled",
  "credential.removed",
]);

const NONE: StepResult = { problems: [] };

export interface OrderCheck {
  /** @throws TypeError and the like where the data does not have the shape of its kind. */
  step(step: Step): StepResult;
  /** Where a request stands; null where none was seen. */
  phaseOf(request: string): OpenPhase | ClosedPhase | null;
}

export function createOrderCheck(parts: {
  /** People of an adopted revision, where its document is at hand. */
  readonly peopleOf: (revision: string) => PolicyPeople | null;
  readonly rootAt: ((size: number) => TreeHash | null) | null;
}): OrderCheck {
  // A request that was only received, and one that is over, is no more than a word: a log holds millions.
  const requests = new Map<string, Known>();
  const leases = new Set<string>();
  const credentials = createCredentialCheck();
  const adoptions = createAdoptionCheck(credentials.find);

  const peopleOf = ({ policy }: Step): PolicyPeople | null =>
    policy === null ? null : parts.peopleOf(policy);
  /** The open request of the step; one that is missing or closed is taken as just received, so that one fault is one. */
  const open = (subject: string): OpenRequest => {
    const known = requests.get(subject);
    if (typeof known === "object") return known;
    const made = newRequest();
    requests.set(subject, made);
    return made;
  };
  const close = (subject: string, phase: ClosedPhase): void => void requests.set(subject, phase);

  /** What a passkey approved and was not granted yet goes with it. */
  const disown = (credential: string): void => {
    for (const request of requests.values()) {
      if (typeof request !== "object" || request.grant !== null) continue;
      for (const approval of request.approvals)
        if (approval.credential === credential) approval.stands = false;
    }
  };

  const decide = (step: Step<"decision.recorded">): StepResult => {
    const phase = expectPhase(step, requests.get(step.subject), ["held"]);
    const request = open(step.subject);
    if (request.asked === null) return { problems: phase };
    const recorded = step.data;
    const { problems, facts } = checkDecision({
      asked: request.asked,
      recorded,
      at: step.at,
      people: peopleOf(step),
      rootAt: parts.rootAt,
      credentialOf: credentials.find,
    });
    const people = peopleOf(step);
    const { serves, wrong } = checkServed(request.asked, request.waiting, recorded, people, step.at);
    const digest = statementDigest(recorded.statement);
    const own = request.approvals.filter(({ person }) => person === recorded.person);
    const extra: Problem[] = [...wrong];
    if (recorded.counted && recorded.statement.decision === "deny") {
      request.fixable = recorded.statement.fixable === true;
    }
    if (recorded.counted && recorded.statement.decision === "approve") {
      if (own.some((approval) => approval.digest === digest)) {
        extra.push({
          code: "statement_mismatch",
          message: "the same approval was counted before",
          rule: "C3",
        });
      }
      const sound = problems.length === 0;
      request.approvals.push({
        person: recorded.person,
        digest,
        assurance: recorded.assurance,
        serves,
        credential: passkeyOf(recorded.proof),
        stands: sound,
      });
    }
    if (recorded.counted && recorded.statement.decision === "take_back") {
      const undone = own.find((approval) => approval.digest === recorded.statement.takes_back);
      if (undone !== undefined) undone.stands = false;
      else
        extra.push({
          code: "statement_mismatch",
          message: "it takes back an approval that does not stand",
          rule: "C3",
        });
    }
    return { problems: [...phase, ...problems, ...extra], decision: { recorded, facts } };
  };

  return {
    phaseOf(subject) {
      const request = requests.get(subject);
      return request === undefined ? null : typeof request === "object" ? request.phase : request;
    },
    step(given) {
      const step = given as { [K in EntryKind]: Step<K> }[EntryKind];
      const { subject } = step;
      const known = requests.get(subject);
      switch (step.kind) {
        case "request.received": {
          requests.set(subject, "received");
          // Without data where the line names no unresolved side: then there is nothing to look at.
          const data = step.data as typeof step.data | null;
          if (data !== null && "unresolved" in data.requester && data.effect !== "read") {
            const message = `the ${data.effect} of a requester whom the policy did not know was taken in`;
            return { problems: [{ code: "requester_unresolved", message, rule: "C1" }] };
          }
          if (known === undefined) return NONE;
          return { problems: [{ code: "out_of_order", message: `${subject} was received before` }] };
        }
        case "request.refused": {
          const problems = known === undefined ? [] : expectPhase(step, known, ["received", "planned"]);
          close(subject, "refused");
          return { problems };
        }
        case "request.planned": {
          const problems = known === undefined ? [] : expectPhase(step, known, ["received"]);
          const request = open(subject);
          request.phase = "planned";
          request.planned = { verdict: step.data.verdict, plan: step.data.plan };
          return { problems };
        }
        case "consent.asked": {
          const problems = [...expectPhase(step, known, ["planned"]), ...checkAsked(step.data, subject)];
          const request = open(subject);
          const plan = request.planned?.plan?.digest;
          if ("unresolved" in step.data.question.requester) {
            const message = "people were asked for a requester whom the policy did not know";
            problems.push({ code: "requester_unresolved", message, rule: "C1" });
          }
          if (plan !== undefined && plan !== step.data.question.plan) {
            problems.push({
              code: "question_mismatch",
              message: "the question is about another plan",
              rule: "D1",
            });
          }
          request.phase = "held";
          request.asked = step.data;
          return { problems };
        }
        case "decision.recorded":
          return decide(step);
        case "consent.escalated":
        case "consent.reminded":
        case "inquiry.made":
        case "inquiry.answered": {
          const problems = expectPhase(step, known, ["held"]);
          const { asked, waiting } = open(subject);
          if (asked === null || step.kind === "consent.reminded") return { problems };
          const wrong =
            step.kind === "consent.escalated"
              ? checkEscalated(asked, waiting, step.data, step.at)
              : checkInquiry(
                  asked,
                  waiting,
                  step.kind === "inquiry.made" ? { made: step.data } : { answered: step.data },
                );
          return { problems: [...problems, ...wrong] };
        }
        case "consent.settled": {
          const problems = [...expectPhase(step, known, ["held"])];
          const request = open(subject);
          if (request.fixable !== null && request.fixable !== (step.data.fixable === true)) {
            const message = "the deny is final in one entry and fixable in the other";
            problems.push({ code: "statement_mismatch", message });
          }
          if (step.data.outcome === "denied") close(subject, "denied");
          else request.settled = true;
          return { problems };
        }
        case "grant.minted": {
          const phase = expectPhase(step, known, ["planned", "held"], "grant_without_basis", "G2");
          const request = open(subject);
          const problems = phase.length > 0 ? phase : checkGrant(step, request, peopleOf(step));
          request.phase = "granted";
          request.grant = { id: step.data.grant, executeBy: parseTimestamp(step.data.execute_by) };
          return { problems };
        }
        case "execution.claimed": {
          const phase = expectPhase(step, known, ["granted", "claimed"], "execution_without_grant", "G1");
          const request = open(subject);
          const problems = phase.length > 0 ? phase : checkSpend(step, request);
          request.phase = "claimed";
          return { problems };
        }
        case "execution.dispatched": {
          const phase = typeof known === "object" ? known.phase : known;
          const again =
            phase === "dispatched" || phase === "unknown" || phase === "done" || phase === "failed";
          const unclaimed = phase === "granted";
          const misplaced = again
            ? expectPhase(step, known, ["claimed"], "grant_spent_twice", "G3")
            : unclaimed
              ? expectPhase(step, known, ["claimed"], "dispatch_without_claim", "X1")
              : expectPhase(step, known, ["claimed"], "execution_without_grant", "G1");
          const request = open(subject);
          const problems = misplaced.length > 0 ? misplaced : checkSpend(step, request);
          request.phase = "dispatched";
          return { problems };
        }
        case "execution.settled": {
          const problems = expectPhase(step, known, ["dispatched"], "outcome_without_dispatch", "X1");
          if (step.data.outcome === "unknown") open(subject).phase = "unknown";
          else close(subject, step.data.outcome);
          return { problems };
        }
        case "execution.resolved": {
          const misplaced = expectPhase(step, known, ["unknown"], "outcome_without_dispatch", "X1");
          const { grant, asked } = open(subject);
          const people = peopleOf(step);
          const about = {
            ...{ request: subject, grant: grant?.id ?? null, asked, people },
            ...{ at: step.at, credentialOf: credentials.find },
          };
          close(subject, step.data.outcome);
          return { problems: [...misplaced, ...checkSettlement({ resolved: step.data, ...about })] };
        }
        case "execution.late":
          if (known === "done" || known === "failed") return NONE;
          return { problems: expectPhase(step, known, ["unknown"], "outcome_without_dispatch", "X1") };
        case "request.withdrawn":
        case "request.expired":
        case "request.stale": {
          const before: readonly OpenPhase[] =
            step.kind === "request.withdrawn"
              ? ["received", "planned", "held", "granted"]
              : ["received", "planned", "held", "granted", "claimed"];
          const problems = expectPhase(step, known, before);
          close(subject, step.kind.slice("request.".length) as "withdrawn" | "expired" | "stale");
          return { problems };
        }
        case "lease.opened": {
          leases.add(subject);
          const request = requests.get(step.data.request);
          return { problems: expectPhase(step, request, ["dispatched"], "lease_without_dispatch", "X3") };
        }
        case "lease.ended":
          if (leases.delete(subject)) return NONE;
          return { problems: [{ code: "out_of_order", message: `${subject} ended and was not open` }] };
        case "log.opened":
        case "log.key_rotated":
        case "blob.erased":
        case "throttled":
        case "ask.delivered":
        case "policy.proposed":
        case "policy.endorsed":
          return NONE;
        case "policy.adopted": {
          const before = adoptions.running();
          const people = before === null ? null : parts.peopleOf(before);
          return { problems: adoptions.adopted(step.data, step.at, people) };
        }
        case "credential.endorsed":
        case "credential.invited":
        case "credential.enrolled":
        case "credential.removed": {
          const people = peopleOf(step);
          const { kind, at, data } = step;
          if (kind === "credential.removed") disown(data.credential);
          return { problems: credentials.step({ kind, at, data, people } as CredentialStep) };
        }
      }
    },
  };
}
