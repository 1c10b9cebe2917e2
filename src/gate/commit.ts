import { timestamp } from "../base/clock.ts";
import { newId, type RequestId } from "../base/id.ts";
import { mintGrant } from "../consent/grant.ts";
import { questionDigest } from "../consent/question.ts";
import { requestCode } from "../base/digest.ts";
import { whyUnprovable } from "../consent/provable.ts";
import { unmeetableClause } from "../consent/quorum.ts";
import { claimEntry, dispatchEntries, storeLease } from "../execution/dispatch.ts";
import { isVouchedRead } from "../execution/read.ts";
import { isFault, type FaultCode } from "../errors.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Verdict } from "../policy/policy.ts";
import { takenKeys } from "../request/recognition.ts";
import type { RefusalCode } from "../request/refusal.ts";
import { keyOfRequester } from "../request/requests.ts";
import type { AppendResult } from "../store/store.ts";
import type { Preview } from "../preview/preview.ts";
import type { Attend } from "./attend.ts";
import { EXECUTE_WITHIN_MS, type Committed } from "./committed.ts";
import { plannedDraft, receivedDraft, refusedDraft } from "./commit-entries.ts";
import {
  evidenceBytes,
  makeQuestion,
  maskKeysOf,
  policyInput,
  recordsOf,
  storeEvidence,
  type Received,
  type StoredEvidence,
} from "./evidence.ts";
import type { Intake, IntakeRefusal } from "./intake.ts";
import type { GateParts } from "./parts.ts";
import type { Attachment, Call, Reply } from "./reply.ts";
import { readEvidence } from "./read-evidence.ts";
import { readPreview } from "./read-preview.ts";
import { refusalOf } from "./refusal-of.ts";
import { refused } from "./resume.ts";
import { createVouchedRead } from "./vouched-read.ts";

// Steps 4 to 6: preview, second pass, and the one durable batch in which a request comes to be.
//
//   L1. received, planned and asked (or granted, claimed, dispatched) are one batch, before a ticket or a tool call.
//   G2. Allow mints a grant here; hold asks; nothing else does either.
//   C1. A hold of a requester whom the policy does not know is denied: nobody could say who may not decide on it.
//   C7. A hold that nobody could answer is denied at once.

export interface Commit {
  attempt(call: Call, refusal: IntakeRefusal, principal: string, agent: string): Promise<RequestId>;
  /** "again": the policy or the keys moved meanwhile, and nothing was written. */
  refuse(intake: Intake, verdict: Verdict): Promise<Committed | "again">;
  planned(intake: Intake, attachment: Attachment): Promise<Committed | "again">;
  /** An allowed read: its plan is its arguments. */
  read(intake: Intake, attachment: Attachment): Promise<Committed | "again">;
}

export function createCommit(parts: GateParts, attend: Attend): Commit {
  const { clock, store } = parts;

  const append = async (
    intake: Intake,
    stored: StoredEvidence,
    entries: readonly EntryDraft[],
    onWritten?: () => void,
  ): Promise<AppendResult> => {
    const expect = [
      { subject: intake.received.id, newest: null },
      { subject: "policy", newest: parts.regime.expects(intake.regime) },
    ];
    const newKeys = takenKeys(intake.keys).map((hold) => hold.key);
    try {
      const appended = await store.append({ expect, newKeys, entries }, onWritten);
      if (!appended.ok) await discard(stored);
      return appended;
    } catch (error) {
      if (isFault(error) && UNWRITTEN.has(error.code)) await discard(stored);
      throw error;
    }
  };
  /** No entry names them, so nobody would find them when they are due to be erased. Sealed ones lose their key anyway. */
  const discard = (stored: StoredEvidence): Promise<void> =>
    store.blobs.eraseRecords(recordsOf(stored)).catch((error: unknown) => {
      parts.log.warn({ err: error }, "documents of a call that was not recorded could not be erased");
    });

  const vouchedRead = createVouchedRead({ ...parts, attend, append });

  /** Writes a refusal of a request that got as far as being received. */
  const refuseWith = async (
    intake: Intake,
    stored: StoredEvidence,
    between: readonly EntryDraft[],
    refusal: IntakeRefusal & { readonly deniedBy: "policy" | "gate" },
  ): Promise<Committed | "again"> => {
    await stored.durable;
    const appended = await append(intake, stored, [
      receivedDraft(intake, stored),
      ...between,
      refusedDraft(intake, refusal, clock.now()),
    ]);
    if (!appended.ok) return "again";
    const { code, deniedBy, message, because } = refusal;
    const reply = refused({ request: intake.received.id, code, deniedBy, message, because: because ?? [] });
    return { reply: () => Promise.resolve(reply) };
  };

  /** The same for one that was never planned. Its documents count for the day as any others. */
  const refuseUnplanned = async (
    intake: Intake,
    refusal: IntakeRefusal & { readonly deniedBy: "policy" | "gate" },
  ): Promise<Committed | "again"> => {
    if (!hasRoom(intake.received, evidenceBytes(intake.received, null))) return noRoom();
    const stored = await storeEvidence(store.blobs, parts.mask, intake.received, null);
    return refuseWith(intake, stored, [], refusal);
  };

  const hasRoom = ({ requester }: Received, bytes: number): boolean =>
    parts.limiter.take(keyOfRequester(requester), "blobBytesPerDay", bytes).ok;
  const noRoom = (): Committed => ({ reply: () => Promise.resolve(tooMuch(parts.limits.blobBytesPerDay)) });

  const attended = (intake: Intake, attachment: Attachment): Committed => ({
    reply: () => attend(intake.received.id, attachment),
  });

  const planned: Commit["planned"] = async (intake, attachment) => {
    const request = intake.received;
    const fail = (code: RefusalCode, message: string): Promise<Committed | "again"> =>
      refuseUnplanned(intake, { code, message, deniedBy: "gate" });
    const previewed = await parts.preview(request, (message) => attachment.progress?.(message));
    if (!previewed.ok) {
      parts.log.warn(
        {
          requestId: request.id,
          tool: request.tool.name,
          code: previewed.error.code,
          detail: previewed.error.detail,
        },
        "preview failed",
      );
      return fail(previewed.error.code, previewed.error.message);
    }
    const preview = previewed.value;
    const { lease } = preview;
    if (lease?.endsBy === "countersign" && !(await parts.hasSteward())) {
      return fail(
        "needs_service",
        "this action has an end that the gateway must bring about, and no steward runs",
      );
    }
    return decide(intake, preview, attachment);
  };

  const decide = async (
    intake: Intake,
    preview: Preview,
    attachment: Attachment,
    isRead = false,
  ): Promise<Committed | "again"> => {
    const request = intake.received;
    const { policy } = intake.regime;
    const toolView = parts.mask.view(preview.view);
    const input = policyInput(request, preview.view, parts.isolation);
    const verdict = policy.evaluate(input);
    const maskKeys = maskKeysOf(policy, verdict);
    const view = parts.view({ received: request, toolView, rules: verdict.rules, maskKeys });
    const planned = { preview, view, input, maskKeys };
    const isAllowedRead = isRead && verdict.verdict === "allow" && isVouchedRead(request.tool);
    if (isAllowedRead && !parts.clockIsBehind()) {
      const evidence = readEvidence(parts.mask, request, planned);
      if (!hasRoom(request, evidence.bytes)) return noRoom();
      return vouchedRead({ intake, verdict, preview, evidence, summary: toolView.summary, attachment });
    }
    if (!hasRoom(request, evidenceBytes(request, planned))) return noRoom();
    const stored = await storeEvidence(store.blobs, parts.mask, request, planned);
    if (stored.planned === null) throw new Error("evidence was stored without its plan");
    const plannedEntry = plannedDraft(intake, stored.planned, {
      preview,
      summary: toolView.summary,
      verdict,
    });
    switch (verdict.verdict) {
      case "deny":
        return refuseWith(intake, stored, [plannedEntry], refusalOf(intake, verdict));
      case "hold":
        return hold(
          intake,
          verdict,
          preview,
          { ...stored, planned: stored.planned },
          plannedEntry,
          attachment,
        );
      case "allow":
        return allow(
          intake,
          [plannedEntry],
          { ...stored, planned: stored.planned },
          preview.expiresAt,
          attachment,
        );
    }
  };

  const hold = async (
    intake: Intake,
    verdict: Verdict,
    preview: Preview,
    stored: StoredEvidence & { readonly planned: NonNullable<StoredEvidence["planned"]> },
    plannedEntry: EntryDraft<"request.planned">,
    attachment: Attachment,
  ): Promise<Committed | "again"> => {
    const { requirement, requirementDigest, rules } = verdict;
    if (requirement === null || requirementDigest === null) throw new Error("a hold without a requirement");
    const { requester } = intake.received;
    if ("unresolved" in requester) {
      return refuseWith(intake, stored, [plannedEntry], refusalOf(intake, verdict));
    }
    const now = clock.now();
    const within = now + requirement.withinMs;
    const unmeetable = unmeetableClause(intake.regime.policy, requirement, requester, {
      from: now,
      until: preview.expiresAt === null ? within : Math.min(within, preview.expiresAt),
    });
    if (unmeetable !== null) {
      return refuseWith(intake, stored, [plannedEntry], {
        code: "no_eligible_approver",
        message: `${unmeetable.count} of [${unmeetable.from.join(", ")}] would have to approve; without the requester and the agent's owners there are too few`,
        rules,
        deniedBy: "policy",
      });
    }
    const until = clock.now() + requirement.withinMs;
    const unproved = whyUnprovable(intake.regime.policy, requirement, requester, (person) =>
      parts.strongestProof(person, until),
    );
    if (unproved !== null) {
      const refusal = { code: "no_eligible_approver", message: unproved, rules, deniedBy: "policy" } as const;
      return refuseWith(intake, stored, [plannedEntry], refusal);
    }
    const question = makeQuestion({
      log: store.logId,
      received: intake.received,
      requester,
      stored,
      preview,
      requirement,
      requirementDigest,
      now,
    });
    const digest = questionDigest(question);
    // Whoever follows the log may send the ask as soon as this is an entry (L1).
    await stored.durable;
    const appended = await append(intake, stored, [
      receivedDraft(intake, stored),
      plannedEntry,
      {
        kind: "consent.asked",
        subject: intake.received.id,
        policy: intake.regime.policy.revision,
        data: { question, digest, code: requestCode(digest), requirement },
      },
    ]);
    if (!appended.ok) return "again";
    parts.log.info(
      { requestId: intake.received.id, verdict: "hold", code: requestCode(digest) },
      "request held",
    );
    return attended(intake, attachment);
  };

  const allow = async (
    intake: Intake,
    before: readonly EntryDraft[],
    stored: StoredEvidence & { readonly planned: NonNullable<StoredEvidence["planned"]> },
    expiresAt: number | null,
    attachment: Attachment,
  ): Promise<Committed | "again"> => {
    const { id, tool } = intake.received;
    const now = clock.now();
    const refuseNow = (code: RefusalCode, message: string): Promise<Committed | "again"> =>
      refuseWith(intake, stored, before, { code, message, deniedBy: "gate" });
    // The preview may have taken minutes.
    if (parts.clockIsBehind()) return refuseNow("clock_behind", "the gateway's clock is behind its own log");
    if (expiresAt !== null && now >= expiresAt) {
      return refuseNow("preview_failed", "the plan's own time was over before it could run");
    }
    const grant = mintGrant({
      request: id,
      policy: intake.regime.policy.revision,
      basis: { kind: "verdict" },
      plan: stored.planned.plan.digest,
      executeWithinMs: EXECUTE_WITHIN_MS,
      expiresAt: expiresAt === null ? null : timestamp(expiresAt),
      now,
    });
    const of = { request: id, grant: grant.data.grant, policy: intake.regime.policy.revision, fence: 1 };
    const undo = await storeLease(store.blobs, stored.planned.sealed, id);
    const appended = await append(intake, stored, [
      receivedDraft(intake, stored),
      ...before,
      grant,
      claimEntry(of, parts.owner),
      ...dispatchEntries(of, tool.name, stored.planned.sealed, undo, now),
    ]);
    if (!appended.ok) return "again";
    parts.log.info({ requestId: id, verdict: "allow" }, "request allowed");
    attend.adopt(
      id,
      // The documents go to the disk while the entries do; the tool waits for both (L1, X1).
      parts.executor.runAllowed(id, tool, (message) => attachment.progress?.(message), stored.durable),
    );
    return attended(intake, attachment);
  };

  return {
    async attempt(call, refusal, principal, agent) {
      const id = newId("req", clock.now());
      await store.append({
        expect: [],
        newKeys: [],
        entries: [
          {
            kind: "request.refused",
            subject: id,
            policy: parts.regime.current().policy.revision,
            data: {
              code: refusal.code,
              denied_by: "gate",
              message: parts.mask.text(refusal.message).slice(0, 2_000),
              rules: refusal.rules ?? [],
              because: refusal.because ?? [],
              attempt: { tool: call.tool.slice(0, 128), principal, agent, transport: call.caller.transport },
            },
          },
        ],
      });
      return id;
    },

    refuse: (intake, verdict) => refuseUnplanned(intake, refusalOf(intake, verdict)),

    planned,

    read(intake, attachment) {
      const preview = readPreview(intake);
      return decide(intake, preview, attachment, true);
    },
  };
}

/** Faults after which none of the entries stands in the log. */
const UNWRITTEN: ReadonlySet<FaultCode> = new Set(["STORE_FULL", "ENTRY_TOO_LARGE", "ENTRY_FROM_FUTURE"]);

const tooMuch = (limit: number): Reply =>
  refused({
    request: null,
    code: "rate_limited",
    deniedBy: "gate",
    message: `this agent's documents would exceed ${limit} bytes a day`,
  });
