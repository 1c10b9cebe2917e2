import { timestamp } from "../base/clock.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Verdict } from "../policy/policy.ts";
import type { Preview } from "../preview/preview.ts";
import type { Caller } from "../request/principal.ts";
import { keysAfter, takenKeys } from "../request/recognition.ts";
import { REFUSALS } from "../request/refusal.ts";
import { becauseOf, type StoredEvidence } from "./evidence.ts";
import type { Intake, IntakeRefusal } from "./intake.ts";

// The entries that a request begins with, as drafts: commit.ts writes them in one batch (L1).

/** `request.received`: who asked for what, with the keys that recognise it when it is sent again. */
export const receivedDraft = (
  { received, keys, regime, follows }: Intake,
  stored: StoredEvidence,
): EntryDraft<"request.received"> => ({
  kind: "request.received",
  subject: received.id,
  policy: regime.policy.revision,
  keys: takenKeys(keys),
  data: {
    requester: received.requester,
    tool: received.tool.name,
    toolDefinition: received.tool.definition,
    effect: received.tool.effect(received.input),
    arguments: stored.arguments,
    maskedArguments: stored.maskedArguments,
    targets: received.targets,
    reasoning: stored.reasoning,
    transport: received.caller.transport,
    client: clientOf(received.caller),
    follows,
  },
});

/** What the preview came to; `summary` is masked. */
export interface Planned {
  readonly preview: Preview;
  readonly summary: string;
  readonly verdict: Verdict;
}

/** `request.planned`: the sealed plan, what people see of it, and the second pass's verdict. */
export const plannedDraft = (
  { received, regime }: Intake,
  stored: NonNullable<StoredEvidence["planned"]>,
  { preview, summary, verdict }: Planned,
): EntryDraft<"request.planned"> => ({
  kind: "request.planned",
  subject: received.id,
  policy: regime.policy.revision,
  data: {
    plan: stored.plan,
    files: stored.files,
    view: stored.view,
    summary: summary,
    guard: preview.guard,
    fidelity: preview.view.fidelity,
    expires_at: preview.expiresAt === null ? null : timestamp(preview.expiresAt),
    inputs: stored.inputs,
    masked_inputs: stored.maskedInputs,
    verdict: verdict.verdict,
    rules: verdict.rules,
    requirement: verdict.requirement,
    requirement_digest: verdict.requirementDigest,
    because: becauseOf(verdict),
  },
});

/** `request.refused` of a request that was received; `now` in epoch milliseconds. */
export const refusedDraft = (
  intake: Intake,
  refusal: IntakeRefusal & { readonly deniedBy: "policy" | "gate" },
  now: number,
): EntryDraft<"request.refused"> => ({
  kind: "request.refused",
  subject: intake.received.id,
  policy: intake.regime.policy.revision,
  keys: keysAfter(takenKeys(intake.keys), "refused", REFUSALS[refusal.code].class === "denied_final", now),
  data: {
    code: refusal.code,
    denied_by: refusal.deniedBy,
    message: refusal.message.slice(0, 2_000),
    rules: refusal.rules ?? [],
    because: refusal.because ?? [],
    attempt: null,
  },
});

/** A claim of any length; an entry has room for a name. */
const clientOf = ({ client }: Caller): Caller["client"] =>
  client === null ? null : { name: client.name.slice(0, 128), version: client.version.slice(0, 64) };
