import { timestamp } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Attest, Attestation } from "../consent/attest.ts";
import { expectsOf } from "../consent/credentials.ts";
import type { DecisionRefusal } from "../consent/desk.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode, type Proof } from "../consent/entries.ts";
import { isInvolved, membersOf } from "../consent/people.ts";
import { CountersignError } from "../errors.ts";
import { MAX_SETTLEMENT_CHARS, parseSettlement } from "../execution/parse-settlement.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes, type SettlementStatement } from "../execution/settlement.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Policy } from "../policy/policy.ts";
import { meets } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import { keysAfter } from "../request/recognition.ts";
import type { RequestRecord } from "../request/requests.ts";
import type { GateParts } from "./parts.ts";
import type { Again } from "./again.ts";
import type { Settled, SettlementChoice } from "./home.ts";

// A person looked, and says under a signature what became of an outcome that nobody knows.
//
//   X2. It is their word and not a guess: the entry holds what they signed, and nothing is run again because of it.
//       `again` is a new request, which goes the whole way.
//   C1. Neither the principal nor an owner of the agent settles alone: "it did not run" frees the action to be asked for
//       again, and "it ran" closes the books on it. The person of `solo:` may, as they may decide (C6).
//   L1. The settlement is durable before anything is asked for again.

/** A person may be this much ahead of our clock. */
const SKEW_MS = 5 * 60_000;

export interface SettleParts extends Pick<GateParts, "clock" | "state" | "store" | "regime" | "mask"> {
  readonly attest: Attest;
  readonly again: Again;
  catchUp(): Promise<void>;
}

export interface Settlement {
  draft(request: RequestId, choice: SettlementChoice): Promise<SettlementStatement>;
  settle(statement: SettlementStatement, proof: Proof): Promise<Result<Settled, DecisionRefusal>>;
}

export function createSettlement(parts: SettleParts): Settlement {
  const { clock, state, store } = parts;

  const unknown = (request: RequestId): RequestRecord | null => {
    const record = state.requests.open.get(request);
    return record?.phase === "unknown" ? record : null;
  };

  const judge = (
    policy: Policy,
    record: RequestRecord,
    { person, assurance, proof }: Attestation,
    statement: SettlementStatement,
  ): DecisionRefusalCode | null => {
    if (person !== statement.approver) return "wrong_person";
    if (!(Date.parse(statement.issued_at) <= clock.now() + SKEW_MS)) return "clock_skew";
    const code = whyNotSettle(policy, record, person);
    if (code !== null) return code;
    if (!meets(assurance, "A2")) return "assurance_too_low";
    // C6, as for an approval: alone, only the terminal asks for the passphrase.
    const alone = isInvolved(record.received.requester, person);
    return alone && proof.channel !== "cli" && !meets(assurance, "A3") ? "assurance_too_low" : null;
  };

  return {
    async draft(request, { outcome, again = false, person, message }) {
      await parts.catchUp();
      const execution = state.executions.open.get(request);
      if (unknown(request) === null || execution === undefined) throw notUnknown(request);
      return parseSettlement({
        typ: "countersign.settlement",
        v: 1,
        log: store.logId,
        request,
        grant: execution.grant,
        outcome,
        again,
        // What is signed stands in the entry as it is, so it is masked before (L3).
        message: parts.mask.text(message).trim().slice(0, MAX_SETTLEMENT_CHARS),
        approver: person,
        issued_at: timestamp(clock.now()),
      });
    },

    async settle(given, proof) {
      const statement = parseSettlement(given);
      if (parts.mask.text(statement.message) !== statement.message) {
        throw new CountersignError(
          "DECISION_REFUSED",
          "the words of the settlement look like they hold a secret",
          {
            hint: "take the statement from the gateway as it is: it masks such words",
          },
        );
      }
      for (;;) {
        await parts.catchUp();
        const regime = parts.regime.current();
        const { policy } = regime;
        const record = unknown(statement.request);
        const execution = state.executions.open.get(statement.request);
        if (record === null || execution === undefined) return refused("already_settled");
        if (execution.grant !== statement.grant || statement.log !== store.logId)
          return refused("digest_mismatch");
        // Before anything is waited for: what moves from here on is judged again.
        const expected = [
          { subject: "policy", newest: parts.regime.expects(regime) },
          ...expectsOf(state.credentials, proof),
        ];
        const { newestSeq } = record;
        const attested = parts.attest(
          policy,
          {
            bytes: settlementBytes(statement),
            namespace: SETTLEMENT_NAMESPACE,
            approver: statement.approver,
          },
          proof,
        );
        if (!attested.ok) return refused(attested.error);
        const code = judge(policy, record, attested.value, statement);
        if (code !== null) return refused(code);
        // What can't be asked for again must not be settled as if it were.
        if (statement.again) await parts.again.check(record);
        const { outcome, message } = statement;
        const entry: EntryDraft<"execution.resolved"> = {
          kind: "execution.resolved",
          subject: record.id,
          policy: policy.revision,
          keys: keysAfter(record.keys, outcome, false, clock.now()),
          data: {
            grant: execution.grant,
            outcome,
            by: "person",
            person: attested.value.person,
            message,
            signed: { statement, proof: attested.value.proof },
          },
        };
        const appended = await store.append({
          expect: [{ subject: record.id, newest: newestSeq }, ...expected],
          newKeys: [],
          entries: [entry],
        });
        if (!appended.ok) continue;
        return ok({ outcome, again: statement.again ? await parts.again.start(record.id) : null });
      }
    },
  };
}

/**
 * Why this person may not settle what became of a request: those may who could decide on it; where it needed nobody,
 * those of `policy_change`.
 */
export function whyNotSettle(
  policy: Policy,
  record: RequestRecord,
  person: PersonId,
): DecisionRefusalCode | null {
  const requirement = record.planned?.requirement ?? null;
  const solo = requirement === null ? policy.solo : requirement.solo;
  if (isInvolved(record.received.requester, person) && person !== solo) return "self_approval";
  const groups =
    requirement === null
      ? (policy.policyChange?.by ?? [])
      : requirement.clauses.flatMap(({ from, escalate = [] }) => [
          ...from,
          ...escalate.flatMap(({ to }) => to),
        ]);
  return membersOf(policy, groups).has(person) ? null : "not_eligible";
}

const refused = (code: DecisionRefusalCode) => err({ code, message: DECISION_REFUSALS[code] });

const notUnknown = (request: RequestId): CountersignError =>
  new CountersignError("REQUEST_NOT_FOUND", `${request} has no unknown outcome to settle`, {
    hint: "see where it stands: countersign show <request>",
  });
