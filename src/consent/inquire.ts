import { newId, type RequestId } from "../base/id.ts";
import { ok, type Result } from "../base/result.ts";
import { CountersignError } from "../errors.ts";
import type { Policy } from "../policy/policy.ts";
import type { PersonId } from "../request/principal.ts";
import type { Consent } from "./consents.ts";
import type { DeskParts } from "./create-desk.ts";
import { expectsOf } from "./credentials.ts";
import { refusal } from "./decide.ts";
import type { DecisionRefusal, Desk, NewInquiry } from "./desk.ts";
import type { DecisionRefusalCode } from "./entries.ts";
import { isInvolved, membersOf } from "./people.ts";

// A person asks the agent something before deciding. Outside the question: nobody signs it, it moves no deadline, and
// what comes back is a claim (P2, P3). Who may ask is who may be asked; what they write is the only thing about the
// request that the agent learns before a grant, and it is theirs (P4).

/** So many questions of one person about one request: an agent is not to be kept busy for ever. */
export const MOST_INQUIRIES = 5;
/** The longest question, in characters. */
export const MAX_INQUIRY_CHARS = 2_000;

export function createInquire(parts: DeskParts, find: (reference: string) => Consent): Desk["inquire"] {
  const whyNot = (policy: Policy, consent: Consent, person: PersonId): DecisionRefusalCode | null => {
    if (consent.settled !== null) return "already_settled";
    if (parts.isPastDeadline(consent)) return "expired";
    const { requirement, question } = consent;
    if (requirement.solo !== person && isInvolved(question.requester, person)) return "self_approval";
    const groups = requirement.clauses.flatMap(({ from, escalate = [] }) => [
      ...from,
      ...escalate.flatMap(({ to }) => to),
    ]);
    if (!membersOf(policy, groups).has(person)) return "not_eligible";
    const asked = consent.inquiries.filter((inquiry) => inquiry.person === person).length;
    return asked >= MOST_INQUIRIES ? "too_many_inquiries" : null;
  };

  const isKnown = (policy: Policy, { person, proof }: NewInquiry): boolean =>
    proof.kind === "account"
      ? policy.people.get(person)?.disabled === false
      : parts.attest(policy, { bytes: new Uint8Array(0), namespace: "", approver: person }, proof).ok;

  return async (
    request: RequestId,
    inquiry,
  ): Promise<Result<{ readonly inquiry: string }, DecisionRefusal>> => {
    const text = parts.maskText(inquiry.text.trim());
    if (text === "" || text.length > MAX_INQUIRY_CHARS) {
      throw new CountersignError(
        "DECISION_REFUSED",
        `a question has 1 to ${MAX_INQUIRY_CHARS} characters, this one ${text.length}`,
        { hint: "say it shorter: the agent reads it once" },
      );
    }
    for (;;) {
      await parts.catchUp();
      const consent = find(request);
      const policy = parts.policy();
      const record = parts.state.requests.open.get(consent.request);
      if (!isKnown(policy, inquiry)) return refusal("unknown_signer");
      const code = record === undefined ? "already_settled" : whyNot(policy, consent, inquiry.person);
      if (record === undefined || code !== null) return refusal(code ?? "already_settled");
      const id = newId("inq", parts.clock.now());
      const appended = await parts.append({
        expect: [
          { subject: consent.request, newest: record.newestSeq },
          { subject: "policy", newest: parts.policySeq() },
          ...expectsOf(parts.state.credentials, inquiry.proof),
        ],
        newKeys: [],
        entries: [
          {
            kind: "inquiry.made",
            subject: consent.request,
            policy: policy.revision,
            data: {
              question: consent.digest,
              inquiry: id,
              person: inquiry.person,
              text,
              proof: inquiry.proof,
            },
          },
        ],
      });
      if (appended.ok) return ok({ inquiry: id });
    }
  };
}
