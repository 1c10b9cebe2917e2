import type { RequestId } from "../base/id.ts";
import { err, ok } from "../base/result.ts";
import type { Home } from "../gate/home.ts";
import type { Reply } from "../gate/reply.ts";
import type { Inquiring } from "../transport/http/inquiry-routes.ts";
import type { Settling } from "../transport/http/settlement-routes.ts";

// What the API needs of the desk and the gate, in the shapes that it asks for.

/** Questions back to the agent, and its answers, for the API. */
export const inquiringOf = ({ desk, gate }: Pick<Home, "desk" | "gate">): Inquiring => ({
  async inquire(request, { person, text, proof }) {
    // A question takes a session's word; nobody signs one.
    if (proof.kind !== "session")
      return err({ code: "needs_session", message: "only a person who signed in asks the agent" });
    return desk.inquire(request, { person, text, proof });
  },
  async answer(request, caller, given) {
    const reply = await gate.answer(request, caller, given);
    if (reply.status === "pending") return ok({ inquiry: given.inquiry });
    if (reply.status === "refused") return err({ code: reply.code, message: reply.message });
    return err({
      code: "already_settled",
      message: `nobody waits for the answer any more: it is ${reply.status}`,
    });
  },
});

/** Unknown outcomes, for the API. */
export const settlingOf = (home: Pick<Home, "draftSettlement" | "settle">): Settling => ({
  draftSettlement: (request, wish) => home.draftSettlement(request, wish),
  async settle(statement, proof) {
    const settled = await home.settle(statement, proof);
    if (!settled.ok) return settled;
    return ok({ outcome: settled.value.outcome, again: requestOf(settled.value.again) });
  },
});

const requestOf = (reply: Reply | null): RequestId | null => {
  if (reply === null) return null;
  return reply.status === "pending" ? reply.ticket : reply.request;
};
