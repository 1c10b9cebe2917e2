import * as z from "zod";
import { systemClock } from "../../base/clock.ts";
import type { RequestId } from "../../base/id.ts";
import type { OpenQuestion } from "../../consent/desk.ts";
import { questionDigest, type Question } from "../../consent/question.ts";
import { standingInList } from "../../consent/standing.ts";
import { isFault } from "../../errors.ts";
import type { Entry } from "../../log/entry.ts";
import { isClosedPhase } from "../../request/requests.ts";
import { PHASES, type Phase, type RequestSummary } from "../../request/summary.ts";
import { callerOf, type Actor } from "./actor.ts";
import type { ApiHome } from "./api.ts";
import type { RouteParts } from "./api-routes.ts";
import { capabilities, capabilitiesOf, isOwn } from "./capabilities.ts";
import {
  countOf,
  digest,
  person,
  phase,
  question,
  quorum,
  requestSummary,
  requirement,
  time,
  view,
} from "./documents.ts";
import { problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import { timelineItem, timelineOf } from "./timeline.ts";

const inquiry = z
  .strictObject({
    inquiry: z.string(),
    person,
    at: time,
    text: z.string(),
    answer: z
      .strictObject({ at: time, agent: z.string(), text: z.string() })
      .nullable()
      .describe("The agent's unverified claim; null while there is none."),
  })
  .meta({ id: "Inquiry" });

const escalation = z
  .strictObject({ at: time, to: z.array(z.string()) })
  .meta({ id: "Escalation", description: "From then on these groups are asked besides." });

const decision = z
  .strictObject({
    person,
    decision: z.enum(["approve", "deny", "take_back"]),
    counted: z.boolean(),
    whyNot: z.string().nullable(),
    reason: z.string().nullable(),
    at: time,
    takenBack: z.boolean().describe("Its person undid this approval; it counts no more."),
  })
  .meta({ id: "Decision" });

const detail = z
  .strictObject({
    request: requestSummary,
    state: phase,
    question: question.nullable(),
    digest: digest.nullable(),
    deadline: time.nullable(),
    requirement: requirement.nullable(),
    quorum: quorum.nullable(),
    decisions: z.array(decision),
    view: view.nullable().describe("What is to be decided on; null once nobody is asked any more."),
    inquiries: z.array(inquiry),
    escalations: z.array(escalation),
    timeline: z.array(timelineItem),
    can: capabilities,
  })
  .meta({ id: "RequestDetail" });

const listQuery = z.strictObject({
  phase: z
    .string()
    .transform((text, ctx): readonly Phase[] => {
      const words = text.split(",");
      for (const word of words) {
        if (!(PHASES as readonly string[]).includes(word))
          ctx.addIssue({ code: "custom", message: `"${word}" is no phase: ${PHASES.join(", ")}` });
      }
      return words as Phase[];
    })
    .optional()
    .describe("Comma-separated phases, such as `held,unknown`."),
  tool: z.string().max(128).optional(),
  q: z
    .string()
    .max(200)
    .optional()
    .describe("Words that id, code, tool, summary, people or environment have."),
  mine: z
    .enum(["true", "false"])
    .optional()
    .describe(
      "Of a session: what waits for this person. Of a token: what its principal and agent asked for.",
    ),
  limit: countOf(1_000, 50),
  cursor: z.string().max(64).optional(),
});

const PATH = "/requests/:ref";

export function requestRoutes(parts: RouteParts): readonly Route[] {
  const { desk, requests, store } = parts.home;
  const clock = parts.clock ?? systemClock;

  return [
    defineRoute({
      method: "GET",
      path: "/requests",
      id: "listRequests",
      tag: "requests",
      summary: "Requests, newest first.",
      description:
        "The newest come from memory. Pages of older ones are read from the log, a bounded piece a call: a page may have few or no requests and `truncated: true`; `next` goes on from there.",
      scope: "requests:read",
      query: listQuery,
      answers: {
        200: {
          description: "One page.",
          schema: z.strictObject({
            requests: z.array(requestSummary),
            next: z.string().nullable(),
            truncated: z.boolean(),
          }),
        },
      },
      problems: ["cursor_invalid"],
      async handle({ actor, query }) {
        await store.catchUp();
        const isWanted = query.mine === "true" ? mineOf(actor) : () => true;
        const words = query.q?.trim().toLowerCase() ?? "";
        const page = await requests.page({
          limit: query.limit,
          cursor: query.cursor ?? null,
          openOnly:
            (query.mine === "true" && actor.kind === "session") ||
            query.phase?.every((one) => !isClosedPhase(one)) === true,
          fits: (summary) =>
            (query.phase === undefined || query.phase.includes(summary.phase)) &&
            (query.tool === undefined || query.tool === summary.tool) &&
            (words === "" || textOf(summary).includes(words)) &&
            isWanted(summary),
        });
        return { document: page };
      },
    }),

    defineRoute({
      method: "GET",
      path: PATH,
      id: "getRequest",
      tag: "requests",
      summary: "One request: what is asked, how far it is, what happened, what you may do.",
      description: "`ref` is the id, its unambiguous beginning, or the six-character code.",
      scope: "requests:read",
      answers: { 200: { description: "The request.", schema: detail } },
      problems: ["request_not_found", "request_ambiguous"],
      async handle({ actor, param }) {
        await store.catchUp();
        const summary = await requests.find(param("ref"));
        const entries = await requests.history(summary.id);
        const asked = questionOf(entries);
        const open = await openQuestion(parts.home, summary.id);
        return {
          document: {
            request: summary,
            state: summary.phase,
            question: asked,
            digest: asked === null ? null : questionDigest(asked),
            deadline: asked?.deadline ?? null,
            requirement: open?.requirement ?? null,
            quorum: open?.quorum ?? null,
            decisions: open?.decisions ?? [],
            // The view of a request that has ended is a document of the log, not something to decide on any more.
            view: open?.view ?? null,
            inquiries: inquiriesOf(entries),
            escalations: entries.flatMap((entry) =>
              entry.kind === "consent.escalated" ? [{ at: entry.time, to: entry.data.to }] : [],
            ),
            timeline: timelineOf(entries),
            can: capabilitiesOf({
              ...{ actor, summary, open },
              now: clock.now(),
            }),
          },
        };
      },
    }),

    defineRoute({
      method: "GET",
      path: `${PATH}/receipt`,
      id: "getReceipt",
      tag: "requests",
      summary: "What proves one request offline: the file that `countersign verify` reads.",
      scope: "log:read",
      answers: {
        200: { description: "The receipt, as a file.", schema: z.looseObject({}), media: "application/json" },
      },
      problems: ["request_not_found", "request_ambiguous", "not_served"],
      async handle({ param }) {
        if (parts.receipt === undefined)
          return { refused: problem("not_served", "this gateway gives no receipts") };
        await store.catchUp();
        const text = await parts.receipt((await requests.find(param("ref"))).id);
        // The file as it is: what is saved from here is what is verified.
        const type = text.startsWith("{") ? "application/json" : "text/plain; charset=utf-8";
        return new Response(text, { headers: { "content-type": type } });
      },
    }),
  ];

  function mineOf(actor: Actor): (summary: RequestSummary) => boolean {
    if (actor.kind === "token")
      return callerOf(actor) === null ? () => false : (summary) => isOwn(actor, summary);
    const { person } = actor.session;
    const waiting = new Map(desk.pending().map((pending) => [pending.request, pending]));
    return (summary) => {
      const pending = waiting.get(summary.id);
      return pending !== undefined && standingInList(person, pending).kind === "approver";
    };
  }
}

const textOf = (summary: RequestSummary): string =>
  [
    ...[summary.id, summary.code, summary.tool, summary.summary, summary.principal, summary.agent],
    ...summary.environments,
    summary.reasonCode,
  ]
    .join("\n")
    .toLowerCase();

/** The question from the log, so that it is there for ended requests too. */
export function questionOf(entries: readonly Entry[]): Question | null {
  for (const entry of entries) if (entry.kind === "consent.asked") return entry.data.question;
  return null;
}

/** Null where the desk has no open question. */
async function openQuestion(home: ApiHome, id: RequestId): Promise<OpenQuestion | null> {
  try {
    return await home.desk.open(id);
  } catch (error) {
    if (isFault(error, "REQUEST_NOT_FOUND")) return null;
    throw error;
  }
}

/** Questions back to the agent, each with its answer. */
export function inquiriesOf(entries: readonly Entry[]): readonly z.input<typeof inquiry>[] {
  const answers = new Map<string, z.input<typeof inquiry>["answer"]>();
  for (const { kind, data, time: at } of entries) {
    if (kind === "inquiry.answered") answers.set(data.inquiry, { at, agent: data.agent, text: data.text });
  }
  return entries.flatMap((entry) => {
    if (entry.kind !== "inquiry.made") return [];
    const { inquiry: id, person: by, text } = entry.data;
    return [{ inquiry: id, person: by, at: entry.time, text, answer: answers.get(id) ?? null }];
  });
}
