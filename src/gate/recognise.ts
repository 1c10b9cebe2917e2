import { isId, type RequestId } from "../base/id.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isOwnChain, resolveRequester } from "../consent/requester.ts";
import type { Effect } from "../request/action-request.ts";
import { claimedPrincipal, isSameRequester, type Caller } from "../request/principal.ts";
import { actionKeyIn } from "../request/recognition.ts";
import { requesterKey } from "../request/requests.ts";
import type { Attend } from "./attend.ts";
import type { Committed } from "./committed.ts";
import { endingOf } from "./history.ts";
import type { Intake } from "./intake.ts";
import type { GateParts } from "./parts.ts";
import type { Attachment, Reply } from "./reply.ts";
import { refused } from "./resume.ts";

// A re-sent call is answered from the request that exists (request/recognition.ts has the rules R1 to R4).

export interface Recognise {
  /** The request this call repeats, whose answer can be waited for; null where it is a new one. */
  (intake: Intake, attachment: Attachment, isRetry?: boolean): Promise<Committed | null>;
  /** Only the requester's own principal and agent get an answer; to others the ticket does not exist. */
  byTicket(ticket: RequestId, caller: Caller, attachment: Attachment): Promise<Reply>;
}

export function createRecognise(parts: GateParts, attend: Attend): Recognise {
  const actionKeyOf = async (id: RequestId): Promise<string | null> => {
    const { requests } = parts.state;
    const taken = requests.open.get(id)?.keys ?? (await endingOf(parts.store, requests, id))?.keys;
    return actionKeyIn(taken ?? []);
  };

  const recognise = async (
    { keys }: Intake,
    attachment: Attachment,
    isRetry = false,
  ): Promise<Committed | null> => {
    const now = parts.clock.now();
    const byCall = keys.call === null ? null : parts.holder(keys.call, now);
    if (byCall !== null && isId("req", byCall)) {
      if ((await actionKeyOf(byCall)) !== keys.action) {
        const reused = refused({
          request: null,
          code: "key_reused",
          deniedBy: "gate",
          message: `this call id was used before, for ${byCall}, with other arguments`,
        });
        return { reply: () => Promise.resolve(reused) };
      }
      return repeat(byCall, attachment);
    }
    const byAction = parts.holder(keys.action, now);
    if (byAction === null || !isId("req", byAction)) return null;
    // A read that was answered is over, though its end is still on the way into the log: in front of what comes now, or
    // else the append conflicts and we wait for it.
    const recording = attend.recording(byAction);
    if (recording !== null) {
      if (isRetry) await recording;
      return null;
    }
    return repeat(byAction, attachment);
  };

  /** The answer says so where the request had ended before this call came. */
  const repeat = (id: RequestId, attachment: Attachment): Committed => {
    const { requests } = parts.state;
    const hadEnded = !requests.open.has(id);
    return {
      async reply() {
        const reply = await attend(id, attachment);
        if (!hadEnded || reply.status !== "done") return reply;
        const ending = await endingOf(parts.store, requests, id);
        return ending === null ? reply : { ...reply, repeats: ending.last.time };
      },
    };
  };

  const byTicket = async (ticket: RequestId, caller: Caller, attachment: Attachment): Promise<Reply> => {
    // Another process may have given the ticket a moment ago.
    if (!parts.state.requests.open.has(ticket)) await parts.store.catchUp();
    const own = await ownRequest(parts, ticket, caller);
    if (!own.ok) return own.error;
    // Good for less than the request: it sees where it stands, and is not the caller that a grant waits for.
    const onlyLooks = caller.permits?.includes(own.value.effect) === false;
    return attend(ticket, onlyLooks ? { ...attachment, onlyLooks } : attachment);
  };

  return Object.assign(recognise, { byTicket });
}

/**
 * What is known of a request where the caller is its own principal and agent, and acts through the same others (R1);
 * else the answer, which is the same for a request of somebody else and for none.
 */
export async function ownRequest(
  parts: GateParts,
  ticket: RequestId,
  caller: Caller,
): Promise<Result<{ readonly effect: Effect }, Reply>> {
  if (!isId("req", ticket)) return err(unknownTicket());
  const { requests } = parts.state;
  const atHand = requests.open.get(ticket)?.received ?? requests.endings.get(ticket);
  // What is not at hand is looked for in the log. Anybody can make up an id that is long to look for.
  const who = requesterKey(claimedPrincipal(caller.principal), "");
  const room = atHand === undefined ? parts.limiter.take(who, "lookupsPerMinute") : null;
  if (room?.ok === false) return err(tooManyLookups());
  const asked = atHand ?? (await endingOf(parts.store, requests, ticket));
  const { policy } = parts.regime.current();
  const resolved = resolveRequester(policy, caller);
  const requester = resolved.ok ? resolved.value : resolved.error.requester;
  return asked !== null &&
    isSameRequester(asked.requester, requester) &&
    isOwnChain(policy, caller, asked.requester.chain)
    ? ok({ effect: asked.effect })
    : err(unknownTicket());
}

const tooManyLookups = (): Reply =>
  refused({
    request: null,
    code: "rate_limited",
    deniedBy: "gate",
    message: "more tickets that have to be looked for than are looked for in a minute",
  });

const unknownTicket = (): Reply =>
  refused({
    request: null,
    code: "unknown_ticket",
    deniedBy: "gate",
    message: "no request of yours has this ticket",
  });
