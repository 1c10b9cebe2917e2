import * as z from "zod";
import type { RequestId } from "../../base/id.ts";
import type { Result } from "../../base/result.ts";
import type { SessionProof } from "../../consent/entries.ts";
import type { Reply } from "../../gate/reply.ts";
import type { Caller, PersonId } from "../../request/principal.ts";
import { callerOf } from "./actor.ts";
import type { RouteParts } from "./api-routes.ts";
import { answerOf, answers } from "./call-routes.ts";
import { isOwn } from "./capabilities.ts";
import { refusedBecause, problem, refusedCall } from "./problem.ts";
import { sessionProof } from "./proof-of.ts";
import { defineRoute, type Route } from "./route.ts";

/** A refusal in words that callers may rely on. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** What these routes need of whoever keeps questions back to the agent: `desk.inquire` and `gate.answer` fit. */
export interface Inquiring {
  /** A person asks the agent something about an open question; nobody signs it. */
  inquire(
    request: RequestId,
    asked: { readonly person: PersonId; readonly text: string; readonly proof: SessionProof },
  ): Promise<Result<{ readonly inquiry: string }, Refusal>>;
  /** The agent's claim. Only the request's own principal and agent may make it; the reply is where the request stands. */
  answer(
    ticket: string,
    caller: Caller,
    answered: { readonly inquiry: string; readonly text: string },
  ): Promise<Reply>;
}

const text = z.string().trim().min(1).max(2_000);
const taken = z.strictObject({ inquiry: z.string() });

export function inquiryRoutes({ home, inquiries }: RouteParts): readonly Route[] {
  const { requests, store } = home;
  return [
    defineRoute({
      method: "POST",
      path: "/requests/:ref/inquiries",
      id: "inquire",
      tag: "requests",
      summary: "Asks the agent something before deciding. The request goes on waiting.",
      scope: "requests:read",
      who: "person",
      body: z.strictObject({ text }),
      replays: true,
      answers: { 200: { description: "Asked; its answer will stand beside it.", schema: taken } },
      problems: [
        "needs_session",
        "not_eligible",
        "self_approval",
        "already_settled",
        "not_served",
        "key_reused",
      ],
      async handle({ actor, body, param }) {
        if (actor.kind !== "session") return { refused: problem("needs_session") };
        if (inquiries === undefined) return { refused: problem("not_served") };
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const asked = await inquiries.inquire(summary.id, {
          person: actor.session.person,
          text: body.text,
          proof: sessionProof(actor.session),
        });
        return asked.ok ? { document: asked.value } : { refused: refusedBecause(asked.error) };
      },
    }),

    defineRoute({
      method: "POST",
      path: "/requests/:ref/answers",
      id: "answerInquiry",
      tag: "requests",
      summary: "Answers a question about a request of one's own. People see it as an unverified claim.",
      scope: "requests:write",
      who: "program",
      body: z.strictObject({ inquiry: z.string().min(1).max(128), text }),
      replays: true,
      answers,
      problems: ["needs_acting_token", "unknown_ticket", "not_served", "key_reused"],
      async handle({ actor, body, param }) {
        const caller = callerOf(actor);
        if (caller === null) return { refused: problem("needs_acting_token") };
        if (inquiries === undefined) return { refused: problem("not_served") };
        await store.catchUp();
        const summary = await requests.find(param("ref")).catch(() => null);
        if (summary === null || !isOwn(actor, summary)) {
          const message = "no request of yours has this name";
          return { refused: refusedCall({ code: "unknown_ticket", message, request: null }) };
        }
        return answerOf(await inquiries.answer(summary.id, caller, body));
      },
    }),
  ];
}
