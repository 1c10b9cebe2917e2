import { isFault } from "../errors.ts";
import type { OpenQuestion, PendingQuestion } from "../consent/desk.ts";
import type { Question } from "../consent/question.ts";
import type { Entry, EntryKind } from "../log/entry.ts";
import type { Requirement } from "../policy/verdict.ts";
import type { View } from "../preview/view.ts";
import type { PersonId } from "../request/principal.ts";
import type { RequestSummary } from "../request/summary.ts";
import type { ConsoleHome } from "./reader.ts";

/** A question of a person and what the agent said to it. */
export interface Inquiry {
  readonly id: string;
  readonly person: PersonId;
  readonly text: string;
  readonly at: string;
  readonly answers: readonly { readonly agent: string; readonly text: string; readonly at: string }[];
}

/** Everything one page shows of a request, open or long ended: from its own entries and documents alone. */
export interface Dossier {
  readonly summary: RequestSummary;
  readonly history: readonly Entry[];
  readonly received: Entry<"request.received">["data"] | null;
  readonly planned: Entry<"request.planned">["data"] | null;
  readonly question: Question | null;
  readonly code: string | null;
  readonly requirement: Requirement | null;
  /** The document people were shown, with the salt of its digest; null where there is none, or none any more. */
  readonly shown: { readonly view: View; readonly salt: string } | null;
  /** True where there was a document once. */
  readonly isViewLost: boolean;
  /** While people can still decide. */
  readonly pending: PendingQuestion | null;
  readonly decisions: readonly (Entry<"decision.recorded">["data"] & {
    readonly time: string;
    readonly seq: number;
  })[];
  readonly inquiries: readonly Inquiry[];
  /** Whose turn it is, what comes next and who was reminded; null once nobody is asked any more. */
  readonly waiting: Pick<OpenQuestion, "escalations" | "reminders" | "onCall"> | null;
  /** Groups that were asked besides. */
  readonly escalatedTo: readonly string[];
}

export async function readDossier(home: ConsoleHome, summary: RequestSummary): Promise<Dossier> {
  const history = await home.requests.history(summary.id);
  const received = first(history, "request.received")?.data ?? null;
  const planned = first(history, "request.planned")?.data ?? null;
  const asked = first(history, "consent.asked")?.data ?? null;
  const viewRef = planned?.view ?? null;
  const shown = viewRef === null ? null : await readShown(home, viewRef);
  const pending = pendingOf(home, summary);
  return {
    summary,
    history,
    received,
    planned,
    question: asked?.question ?? null,
    code: asked?.code ?? summary.code,
    requirement: asked?.requirement ?? planned?.requirement ?? null,
    shown,
    isViewLost: viewRef !== null && shown === null,
    pending,
    waiting: pending === null || shown === null ? null : await readWaiting(home, pending),
    decisions: ofKind(history, "decision.recorded").map((entry) => ({
      ...entry.data,
      time: entry.time,
      seq: entry.seq,
    })),
    inquiries: inquiriesOf(history),
    escalatedTo: [...new Set(ofKind(history, "consent.escalated").flatMap((entry) => entry.data.to))],
  };
}

/** Entries of one kind, in order. */
export const ofKind = <K extends EntryKind>(history: readonly Entry[], kind: K): readonly Entry<K>[] =>
  history.filter((entry) => entry.kind === kind) as unknown as readonly Entry<K>[];

const first = <K extends EntryKind>(history: readonly Entry[], kind: K): Entry<K> | undefined =>
  ofKind(history, kind)[0];

async function readShown(
  home: ConsoleHome,
  ref: NonNullable<Entry<"request.planned">["data"]["view"]>,
): Promise<Dossier["shown"]> {
  try {
    const bytes = await home.store.blobs.get("view", ref);
    const salt = Buffer.from(await home.store.blobs.salt(ref)).toString("base64");
    return { view: JSON.parse(new TextDecoder().decode(bytes)) as View, salt };
  } catch (error) {
    // Erased after its time, or damaged: the page says so, and offers no approval (C4).
    if (isFault(error, "BLOB_MISSING") || isFault(error, "BLOB_CORRUPT")) return null;
    throw error;
  }
}

function pendingOf(home: ConsoleHome, summary: RequestSummary): PendingQuestion | null {
  if (summary.phase !== "held") return null;
  try {
    return home.desk.find(summary.id);
  } catch (error) {
    if (isFault(error, "REQUEST_NOT_FOUND")) return null;
    throw error;
  }
}

async function readWaiting(home: ConsoleHome, { request }: PendingQuestion): Promise<Dossier["waiting"]> {
  try {
    const { escalations, reminders, onCall } = await home.desk.open(request);
    return { escalations, reminders, onCall };
  } catch (error) {
    // Settled this moment: the next copy of the page says so.
    if (isFault(error)) return null;
    throw error;
  }
}

function inquiriesOf(history: readonly Entry[]): readonly Inquiry[] {
  const answers = ofKind(history, "inquiry.answered");
  return ofKind(history, "inquiry.made").map(({ data, time }) => ({
    id: data.inquiry,
    person: data.person,
    text: data.text,
    at: time,
    answers: answers
      .filter((answer) => answer.data.inquiry === data.inquiry)
      .map((answer) => ({ agent: answer.data.agent, text: answer.data.text, at: answer.time })),
  }));
}
