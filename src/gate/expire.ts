import { timestamp } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";
import { keysAfter } from "../request/recognition.ts";
import type { RequestRecord } from "../request/requests.ts";
import type { GateParts } from "./parts.ts";

// C5. No answer in time is a deny. G3. A grant that was not started in time is void. Enforced at every use, and by
// the steward's timer for requests nobody looks at.

/** Ends the request if its time is up; true where it did. */
export function createExpire(
  parts: Pick<GateParts, "clock" | "state" | "store" | "regime" | "deadlines">,
): (request: RequestId) => Promise<boolean> {
  return async (request) => {
    const record = parts.state.requests.open.get(request);
    const entry = record === undefined ? null : expiryOf(parts, record);
    if (record === undefined || entry === null) return false;
    const appended = await parts.store.append({
      expect: [{ subject: request, newest: record.newestSeq }],
      newKeys: [],
      entries: [entry],
    });
    return appended.ok;
  };
}

/** The entry that ends a request whose time is up, or null. */
export function expiryOf(
  parts: Pick<GateParts, "clock" | "state" | "regime" | "deadlines">,
  record: RequestRecord,
): EntryDraft<"request.expired"> | null {
  const now = parts.clock.now();
  const consent = parts.state.consents.byRequest.get(record.id);
  const execution = parts.state.executions.open.get(record.id);
  const expired = (at: "consent" | "grant", deadline: number): EntryDraft<"request.expired"> => ({
    kind: "request.expired",
    subject: record.id,
    policy: parts.regime.current().policy.revision,
    keys: keysAfter(record.keys, "expired", false, now),
    data: { at, deadline: timestamp(deadline) },
  });
  const { isPast } = parts.deadlines;
  if (record.phase === "held" && consent !== undefined && isPast("consent", record.id, consent.deadline)) {
    return expired("consent", consent.deadline);
  }
  // A claim sent nothing yet. If its owner is about to dispatch, one of the two appends loses, and nothing runs twice.
  const unsent = record.phase === "granted" || record.phase === "claimed";
  if (unsent && execution !== undefined && isPast("grant", record.id, execution.executeBy)) {
    return expired("grant", execution.executeBy);
  }
  return null;
}
