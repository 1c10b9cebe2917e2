import * as z from "zod";
import { justificationOf } from "../../gate/publish.ts";
import type { Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import type { RequestSummary } from "../../request/summary.ts";
import { callerOf, personOf, type Actor } from "./actor.ts";
import type { RouteParts } from "./api-routes.ts";
import { isOwn } from "./capabilities.ts";
import { reply as replySchema } from "./documents.ts";
import { problem, refusedCall } from "./problem.ts";
import { defineRoute, isIdempotencyKey, type Answer, type Route } from "./route.ts";

// Calls that do not come over MCP: a job, a script. They take the same way through the gate, as the principal and agent
// of their token, and get the same replies. The call id is durable: the gate recognises a call that was sent before, also
// after a restart, so a job that is started again asks nothing twice and runs nothing twice.

/** Arguments may have a mebibyte; the rest is words. */
const MAX_CALL_BYTES = 2 * 1024 * 1024;
const MOST_WAIT_S = 60;

const wait = z.coerce
  .number(`must be a whole number of seconds from 0 to ${MOST_WAIT_S}`)
  .int(`must be a whole number of seconds from 0 to ${MOST_WAIT_S}`)
  .min(0)
  .max(MOST_WAIT_S)
  .default(0)
  .describe("Seconds to wait for an outcome before `pending` is answered.");

const callBody = z
  .strictObject({
    tool: z.string().min(1).max(128),
    arguments: z.record(z.string(), z.unknown()).default({}),
    justification: z
      .string()
      .max(8_000)
      .optional()
      .describe("Why, for the people who decide; shown to them as unverified."),
    reasoning: z.unknown().optional().describe("What `_meta[dev.countersign/reasoning]` is over MCP."),
    call_id: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe(
        "Your id of this call; an Idempotency-Key header says the same. Sent again, nothing runs twice.",
      ),
  })
  .meta({ id: "Call" });

export const answers = {
  200: { description: "It has ended: done, failed, unknown, or refused.", schema: replySchema },
  202: {
    description: "It waits; ask for its outcome. `Location` says where.",
    schema: replySchema,
  },
} as const;

const TURNED_AWAY = [
  ...["unknown_tool", "invalid_arguments", "call_too_large", "key_reused", "unknown_requester"],
  ...["rate_limited", "disk_low", "clock_behind", "gate_closed"],
];

export function callRoutes({ home }: RouteParts): readonly Route[] {
  const { gate, requests, store } = home;

  /** The request, if it is the caller's own; to others it does not exist, by whatever name they ask for it. */
  const own = async (
    actor: Actor,
    reference: string,
  ): Promise<{ readonly summary: RequestSummary; readonly caller: Caller } | null> => {
    await store.catchUp();
    const summary = await requests.find(reference).catch(() => null);
    if (summary === null || !isOwn(actor, summary)) return null;
    const person = personOf(actor);
    const caller =
      callerOf(actor) ??
      (person === null
        ? null
        : ({
            principal: { kind: "named", id: person },
            agent: summary.agent,
            transport: "http",
            client: null,
          } as const));
    return caller === null ? null : { summary, caller };
  };

  return [
    defineRoute({
      method: "POST",
      path: "/requests",
      id: "makeRequest",
      tag: "requests",
      summary: "Asks for an action, as the principal and agent of the token.",
      description:
        "The gate decides as it does for an agent. Send an `Idempotency-Key` (or `call_id`): the same key answers from the same request for a day after it ended, whatever was restarted in between; with other arguments it is `key_reused`.",
      scope: "requests:write",
      who: "program",
      query: z.strictObject({ wait }),
      body: callBody,
      maxBytes: MAX_CALL_BYTES,
      answers,
      problems: ["needs_acting_token", ...TURNED_AWAY],
      async handle({ actor, query, body, header, signal }) {
        const caller = callerOf(actor);
        if (caller === null) return { refused: problem("needs_acting_token") };
        const key = header("idempotency-key");
        if (key !== undefined && (!isIdempotencyKey(key) || (body.call_id ?? key) !== key))
          return {
            refused: problem("bad_request", "Idempotency-Key and call_id say the same; send one of them"),
          };
        const callId = key ?? body.call_id;
        const tool = home.tools.find(({ name }) => name === body.tool);
        const name = tool === undefined ? "justification" : justificationOf(tool);
        if (body.justification !== undefined && Object.hasOwn(body.arguments, name))
          return {
            refused: problem("bad_request", `/arguments/${name}: the justification stands beside them`),
          };
        const said = body.justification === undefined ? {} : { [name]: body.justification };
        return answerOf(
          await gate.call(
            {
              tool: body.tool,
              arguments: { ...body.arguments, ...said },
              caller,
              ...(body.reasoning === undefined ? {} : { reasoning: body.reasoning }),
              ...(callId === undefined ? {} : { callId }),
            },
            { signal, holdMs: query.wait * 1_000 },
          ),
        );
      },
    }),

    defineRoute({
      method: "GET",
      path: "/requests/:ref/outcome",
      id: "getOutcome",
      tag: "requests",
      summary: "What became of a request of one's own; waits for it if asked to.",
      scope: "requests:write",
      who: "program",
      query: z.strictObject({ wait }),
      answers,
      problems: ["unknown_ticket", "needs_acting_token"],
      async handle({ actor, query, param, signal }) {
        const found = await own(actor, param("ref"));
        if (found === null) return { refused: refusedCall(UNKNOWN) };
        const { summary, caller } = found;
        return answerOf(await gate.wait(summary.id, caller, { signal, holdMs: query.wait * 1_000 }));
      },
    }),

    defineRoute({
      method: "POST",
      path: "/requests/:ref/withdraw",
      id: "withdrawRequest",
      tag: "requests",
      summary: "Takes a request of one's own back, until it is claimed; then the answer is where it stands.",
      scope: "requests:write",
      body: z.strictObject({ reason: z.string().max(2_000).optional() }),
      answers,
      problems: ["unknown_ticket"],
      async handle({ actor, body, param }) {
        const found = await own(actor, param("ref"));
        if (found === null) return { refused: refusedCall(UNKNOWN) };
        return answerOf(await gate.withdraw(found.summary.id, found.caller, body.reason ?? null));
      },
    }),
  ];
}

const UNKNOWN = {
  code: "unknown_ticket",
  message: "no request of yours has this name",
  request: null,
} as const;

/** Codes with which a call ended before it was a request: the caller's mistake, or the machine's. */
const NO_REQUEST: ReadonlySet<string> = new Set([
  ...["unknown_tool", "invalid_arguments", "call_too_large", "key_reused", "unknown_ticket"],
  ...[
    "unknown_requester",
    "insufficient_scope",
    "unknown_inquiry",
    "rate_limited",
    "disk_low",
    "clock_behind",
    "gate_closed",
  ],
]);

export function answerOf(reply: Reply): Answer {
  if (reply.status === "refused" && NO_REQUEST.has(reply.code)) {
    return {
      refused: refusedCall({
        ...{ code: reply.code, message: reply.message, request: reply.request },
        retryAfterMs: reply.retryAfterMs,
      }),
    };
  }
  if (reply.status !== "pending") return { document: reply };
  return {
    document: reply,
    status: 202,
    headers: {
      location: `/api/v1/requests/${reply.ticket}/outcome`,
      "retry-after": String(Math.ceil(reply.retryAfterMs / 1_000)),
    },
  };
}
