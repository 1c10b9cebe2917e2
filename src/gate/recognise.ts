import { isId, type RequestId } from "../base/id.ts";
import { resolveRequester } from "../consent/people.ts";
import type { Entry } from "../log/entry.ts";
import type { Caller } from "../request/principal.ts";
import type { Attend } from "./attend.ts";
import type { Committed } from "./commit.ts";
import { historyOf } from "./history.ts";
import type { Intake } from "./intake.ts";
import type { GateParts } from "./parts.ts";
import type { Attachment, Reply } from "./reply.ts";
import { refused } from "./resume.ts";

// A re-sent call is answered from the request that exists (request/recognition.ts has the rules R1 to R4).

export interface Recognise {
  /** The request this call repeats, whose answer can be waited for; null where it is a new one. */
  (intake: Intake, attachment: Attachment): Promise<Committed | null>;
  /** Only the requester's own principal and agent get an answer; to others the ticket does not exist. */
  byTicket(ticket: RequestId, caller: Caller, attachment: Attachment): Promise<Reply>;
}

export function createRecognise(parts: GateParts, attend: Attend): Recognise {
  const actionKeyOf = async (id: RequestId): Promise<string | null> => {
    const taken =
      parts.state.requests.open.get(id)?.keys ?? firstEntry(await historyOf(parts.store, id))?.keys;
    return taken?.find((hold) => hold.key.startsWith("act:"))?.key ?? null;
  };

  const recognise = async ({ keys }: Intake, attachment: Attachment): Promise<Committed | null> => {
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
      return { reply: () => attend(byCall, attachment) };
    }
    const byAction = parts.holder(keys.action, now);
    if (byAction === null || !isId("req", byAction)) return null;
    return { reply: () => attend(byAction, attachment) };
  };

  const byTicket = async (ticket: RequestId, caller: Caller, attachment: Attachment): Promise<Reply> => {
    // Another process may have given the ticket a moment ago.
    if (!parts.state.requests.open.has(ticket)) await parts.store.catchUp();
    if (await isOwn(parts, ticket, caller)) return attend(ticket, attachment);
    return unknownTicket();
  };

  return Object.assign(recognise, { byTicket });
}

/** True where the caller is the request's own principal and agent (R1). */
export async function isOwn(parts: GateParts, ticket: RequestId, caller: Caller): Promise<boolean> {
  if (!isId("req", ticket)) return false;
  const requester = resolveRequester(parts.regime.current().policy, caller);
  if (!requester.ok) return false;
  const open = parts.state.requests.open.get(ticket)?.received.requester;
  const asked = open ?? firstEntry(await historyOf(parts.store, ticket))?.data.requester;
  return (
    asked !== undefined &&
    asked.agent === requester.value.agent &&
    asked.principal.kind === requester.value.principal.kind &&
    asked.principal.id === requester.value.principal.id
  );
}

export const unknownTicket = (): Reply =>
  refused({
    request: null,
    code: "unknown_ticket",
    deniedBy: "gate",
    message: "no request of yours has this ticket",
  });

const firstEntry = (entries: readonly Entry[]): Entry<"request.received"> | undefined =>
  entries.find((entry) => entry.kind === "request.received");
