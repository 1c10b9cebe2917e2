import { canonicalCopy, type JsonObject } from "../base/canonical-json.ts";
import { requesterStands } from "../consent/requester.ts";
import { quorumOf } from "../consent/quorum.ts";
import type { Recheck } from "../execution/execution.ts";
import { staleEntry } from "../execution/execution.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { PolicyInput } from "../policy/policy.ts";
import type { StaleReason } from "../request/entries.ts";
import type { RequestRecord } from "../request/requests.ts";
import { ToolRefusal } from "../tool.ts";
import { registrationDigest } from "./evidence.ts";
import { expiryOf } from "./expire.ts";
import type { GateParts } from "./parts.ts";

// Step 8, before the claim, and after every adoption: is what was asked still what would be asked?
//
//   C1. Principal, agent and owners are what they were. C2. The people who approved may still approve.
//   The verdict is computed again from the sealed inputs under the policy that runs now; the same requirement stands,
//   any other makes the request stale. An approval never moves to a re-pointed registration.

type RecheckParts = Pick<GateParts, "clock" | "state" | "store" | "regime" | "clockIsBehind" | "deadlines">;

/** Why an open request may not go on as it was asked, or null. */
export async function whyStale(
  parts: RecheckParts,
  record: RequestRecord,
): Promise<{ readonly why: StaleReason; readonly message: string } | null> {
  const { policy, tools } = parts.regime.current();
  const { received, planned } = record;
  if (planned === null) return null;
  if (!requesterStands(policy, received.requester)) {
    return { why: "requester_changed", message: "the requester, its agent or the agent's owners changed" };
  }
  const tool = tools.get(received.tool);
  if (tool === undefined) return null;
  if (tool.definition !== received.toolDefinition) {
    return { why: "tool_changed", message: "the tool's definition is not the one that was asked about" };
  }
  const inputs = canonicalCopy(
    JSON.parse(
      new TextDecoder().decode(await parts.store.blobs.get("inputs", planned.inputs, record.id)),
    ) as JsonObject,
  ) as unknown as PolicyInput;
  const registration = currentRegistration(() => registrationDigest(tool.registration(inputs.args)));
  if (registration !== inputs.registration) {
    return { why: "requirement_changed", message: "the registration it would run on changed" };
  }
  const verdict = policy.evaluate(inputs);
  if (verdict.verdict !== planned.verdict || verdict.requirementDigest !== planned.requirement_digest) {
    return { why: "requirement_changed", message: "the policy now demands something else for this request" };
  }
  return null;
}

/** What may become of a granted request now. */
export async function recheck(parts: RecheckParts, record: RequestRecord): Promise<Recheck> {
  if (parts.clockIsBehind()) return { verdict: "not_now" };
  const expired = expiryOf(parts, record);
  if (expired !== null) return { verdict: "ended", entry: expired };
  const { policy, tools } = parts.regime.current();
  const tool = tools.get(record.received.tool);
  if (tool === undefined || tool.definition !== record.received.toolDefinition) return { verdict: "not_now" };
  const stale = (await whyStale(parts, record)) ?? lostApproval(parts, record);
  if (stale === null) return { verdict: "runs" };
  const entry: EntryDraft = staleEntry(record, policy.revision, stale.message, parts.clock.now(), stale.why);
  return { verdict: "ended", entry };
}

/** C2: the quorum is counted again from the people of now. */
function lostApproval(
  parts: RecheckParts,
  record: RequestRecord,
): { readonly why: StaleReason; readonly message: string } | null {
  const execution = parts.state.executions.open.get(record.id);
  if (execution?.basis !== "consent") return null;
  const consent = parts.state.consents.byRequest.get(record.id);
  const met = consent !== undefined && quorumOf(parts.regime.current().policy, consent).met;
  return met
    ? null
    : { why: "approver_changed", message: "a person whose approval counted may no longer approve" };
}

function currentRegistration(
  read: () => ReturnType<typeof registrationDigest>,
): ReturnType<typeof registrationDigest> {
  try {
    return read();
  } catch (error) {
    if (error instanceof ToolRefusal) return null;
    throw error;
  }
}
