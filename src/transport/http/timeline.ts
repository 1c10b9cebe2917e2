import * as z from "zod";
import type { Entry } from "../../log/entry.ts";
import { assurance, time } from "./documents.ts";

// What happened to a request, in order, in words. Derived from its entries by a fixed function, so that every page and
// program tells the same story. `text` is what people or agents wrote: it is shown as text (P3).

export const timelineItem = z
  .strictObject({
    seq: z.number().int(),
    at: time,
    kind: z.string(),
    by: z.string().nullable().describe("A person, the agent, or null for the gateway."),
    what: z.string().describe("Words of the gateway."),
    text: z.string().nullable().describe("Words of a person, agent or tool, as they came."),
    assurance: assurance.nullable(),
  })
  .meta({ id: "TimelineItem" });
export type TimelineItem = z.input<typeof timelineItem>;

export const timelineOf = (entries: readonly Entry[]): readonly TimelineItem[] =>
  entries.flatMap((entry) => {
    const told = tell(entry);
    if (told === null) return [];
    const { what, by = null, text = null, level = null } = told;
    return [{ seq: entry.seq, at: entry.time, kind: entry.kind, by, what, text, assurance: level }];
  });

interface Told {
  readonly what: string;
  readonly by?: string | null;
  readonly text?: string | null;
  readonly level?: TimelineItem["assurance"];
}

const DECIDED = { approve: "approved", deny: "denied", take_back: "took the approval back" } as const;

function tell(entry: Entry): Told | null {
  switch (entry.kind) {
    case "request.received":
      return { what: `asked for ${entry.data.tool}`, by: entry.data.requester.agent };
    case "request.planned":
      return { what: "previewed", text: entry.data.summary };
    case "request.refused":
      return { what: `refused: ${entry.data.code}`, text: entry.data.message };
    case "request.withdrawn":
      return { what: "withdrawn", by: entry.data.by, text: entry.data.reason };
    case "request.expired":
      return {
        what:
          entry.data.at === "consent" ? "expired: nobody decided in time" : "the grant was not used in time",
      };
    case "request.stale":
      return { what: `stale: ${entry.data.why}`, text: entry.data.message };
    case "consent.asked":
      return { what: `people asked, code ${entry.data.code}` };
    case "decision.recorded": {
      const { statement, person, counted, why_not } = entry.data;
      const what = `${DECIDED[statement.decision]}${counted ? "" : `; not counted: ${why_not ?? ""}`}`;
      return { what, by: person, text: statement.reason, level: entry.data.assurance };
    }
    case "consent.escalated":
      return { what: `asked besides: ${entry.data.to.join(", ")}` };
    case "consent.reminded":
      return { what: `reminded: ${entry.data.people.join(", ")}` };
    case "inquiry.made":
      return { what: "asked the agent", by: entry.data.person, text: entry.data.text };
    case "inquiry.answered":
      return { what: "answered, unverified", by: entry.data.agent, text: entry.data.text };
    case "consent.settled":
      return { what: entry.data.outcome === "granted" ? "enough approvals" : "denied" };
    case "grant.minted":
      return { what: `may run until ${entry.data.execute_by}` };
    case "execution.claimed":
      return { what: "about to run" };
    case "execution.dispatched":
      return { what: "running" };
    case "execution.settled":
      return { what: `outcome: ${entry.data.outcome}`, text: entry.data.summary };
    case "execution.resolved":
      return {
        what: `outcome settled: ${entry.data.outcome}`,
        by: entry.data.person,
        text: entry.data.message,
      };
    case "lease.opened":
      return { what: "a change that has an end began" };
    case "lease.ended":
      return { what: "the change that had an end was ended" };
    default:
      return null;
  }
}
