import type { RequestId } from "../base/id.ts";
import type { Caller } from "../request/principal.ts";
import { keysAfter } from "../request/recognition.ts";
import type { Attend } from "./attend.ts";
import type { GateParts } from "./parts.ts";
import { ownRequest } from "./recognise.ts";
import type { Reply } from "./reply.ts";

const UNTIL_CLAIMED = new Set(["received", "planned", "held", "granted"]);
/** Who takes a request back is not there for it: nothing is started by that. */
const NO_WAIT = { holdMs: 0, signal: new AbortController().signal, onlyLooks: true };

/** The caller takes its request back: until the claim, and then the answer is where it stands. */
export function createWithdraw(
  parts: GateParts,
  attend: Attend,
): (ticket: RequestId, caller: Caller, reason: string | null) => Promise<Reply> {
  return async (ticket, caller, reason) => {
    const own = await ownRequest(parts, ticket, caller);
    if (!own.ok) return own.error;
    for (;;) {
      const record = parts.state.requests.open.get(ticket);
      if (record === undefined || !UNTIL_CLAIMED.has(record.phase)) return attend(ticket, NO_WAIT);
      const appended = await parts.store.append({
        expect: [{ subject: ticket, newest: record.newestSeq }],
        newKeys: [],
        entries: [
          {
            kind: "request.withdrawn",
            subject: ticket,
            policy: parts.regime.current().policy.revision,
            keys: keysAfter(record.keys, "withdrawn", false, parts.clock.now()),
            data: {
              by: record.received.requester.principal.id,
              reason: reason === null ? null : parts.mask.text(reason).slice(0, 2_000),
            },
          },
        ],
      });
      if (appended.ok) return attend(ticket, NO_WAIT);
    }
  };
}
