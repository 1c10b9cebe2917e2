import type { Digest } from "../base/digest.ts";
import { isId, type RequestId } from "../base/id.ts";
import type { Json } from "../base/canonical-json.ts";
import { CountersignError } from "../errors.ts";
import { decodeEntry } from "../log/encode.ts";
import type { Entry, EntryKind } from "../log/entry.ts";
import type { RecordName } from "../request/record-documents.ts";
import { phaseAfter } from "../request/requests.ts";
import type { Phase } from "../request/summary.ts";
import type { Store } from "../store/store.ts";
import type { View } from "../preview/view.ts";
import type { Reasoning } from "../request/reasoning.ts";
import type { Erasure, Kept, Records } from "./records.ts";
import type { Replay, ReplayedVerdict } from "./replay.ts";
import type { HomeState } from "./state.ts";

// The story of one request, from its record alone: who asked through which agent, what was claimed, what the evidence
// said, which rules matched and why, who decided with what proof, what ran, what came out. Nothing here is neutral:
// whoever shows it to people neutralises it (P3).

type Data<K extends EntryKind> = Entry<K>["data"];
/** When something was recorded, and as which entry. */
interface Moment {
  readonly at: string;
  readonly seq: number;
}

/** Everything that the record says of one request. Members are null where it did not come that far. */
export interface Story {
  readonly request: RequestId;
  readonly phase: Phase;
  readonly entries: number;
  readonly asked:
    | (Moment &
        Pick<
          Data<"request.received">,
          "requester" | "tool" | "effect" | "targets" | "transport" | "client"
        > & {
          readonly arguments: Kept;
        })
    | null;
  /** A call that never became a request: who tried what. */
  readonly attempt: (Moment & NonNullable<Data<"request.refused">["attempt"]>) | null;
  /** What the agent stated: unverified. */
  readonly claimed: Kept<Reasoning> | null;
  readonly evidence:
    | (Moment &
        Pick<Data<"request.planned">, "summary" | "fidelity" | "guard" | "plan" | "files" | "expires_at"> & {
          readonly digest: Digest | null;
          readonly view: Kept<View> | null;
        })
    | null;
  readonly verdict:
    | (Moment &
        Pick<Data<"request.planned">, "verdict" | "because" | "requirement"> & {
          readonly policy: Digest | null;
          readonly rules: readonly (Data<"request.planned">["rules"][number] & {
            /** Why it matched, with the values it read; null where that can't be told any more. */
            readonly why: string | null;
          })[];
        })
    | null;
  /** The recorded verdicts, derived again. */
  readonly replayed: readonly ReplayedVerdict[];
  readonly question:
    | (Moment &
        Pick<Data<"consent.asked">, "code" | "digest" | "requirement"> & { readonly deadline: string })
    | null;
  readonly decisions: readonly (Moment &
    Pick<Data<"decision.recorded">, "person" | "assurance" | "counted" | "why_not" | "proof"> &
    Pick<Data<"decision.recorded">["statement"], "decision" | "reason" | "solo" | "log">)[];
  readonly consent: (Moment & Data<"consent.settled">) | null;
  readonly grant: (Moment & Pick<Data<"grant.minted">, "basis" | "execute_by" | "plan">) | null;
  /** Claims and dispatches, as they came. */
  readonly runs: readonly (Moment & { readonly kind: "claimed" | "dispatched"; readonly fence: number })[];
  readonly leases: readonly (Moment & {
    readonly lease: string;
    readonly endsAt: string;
    readonly isOpen: boolean;
  })[];
  /** How it ended, or where its outcome was found out later; the last one is how it stands. */
  readonly outcomes: readonly (Moment & {
    readonly kind: EntryKind;
    readonly outcome: string;
    readonly code: string | null;
    readonly message: string;
    readonly by: string | null;
  })[];
  readonly result: Kept | null;
  readonly erasures: readonly Erasure[];
}

export interface StoryParts {
  readonly store: Pick<Store, "catchUp" | "entriesOf" | "lines">;
  readonly state: Pick<HomeState, "executions">;
  readonly records: Records;
  readonly replay: Replay;
}

/** Tells the story of a request. @throws CountersignError `REQUEST_NOT_FOUND` */
export function createStoryteller({ store, state, records, replay }: StoryParts) {
  return async (request: RequestId): Promise<Story> => {
    await store.catchUp();
    const entries: Entry[] = [];
    for await (const { entry } of store.entriesOf(request)) entries.push(entry);
    const last = entries.at(-1);
    if (last === undefined) {
      throw new CountersignError("REQUEST_NOT_FOUND", `no entry of ${request}`, {
        hint: "see what there is: countersign requests",
      });
    }
    const of = <K extends EntryKind>(kind: K): Entry<K> | undefined =>
      entries.find((entry) => entry.kind === kind) as Entry<K> | undefined;
    const all = <K extends EntryKind>(kind: K): readonly Entry<K>[] =>
      entries.filter((entry) => entry.kind === kind) as unknown as Entry<K>[];
    const documents = await records.readAll(entries);
    const document = <T = Json>(name: RecordName): Kept<T> | null =>
      (documents.get(name) ?? null) as Kept<T> | null;
    const [received, planned, refused, asked, settled, granted] = [
      of("request.received"),
      of("request.planned"),
      of("request.refused"),
      of("consent.asked"),
      of("consent.settled"),
      of("grant.minted"),
    ];
    const explained = planned === undefined ? null : await replay.explain(planned);
    const isGone = [...documents.values()].some(({ state: kept }) => kept === "erased");
    return {
      request,
      phase: entries.reduce<Phase>((phase, entry) => phaseAfter(phase, entry), "received"),
      entries: entries.length,
      asked:
        received === undefined
          ? null
          : {
              ...moment(received),
              ...pick(received.data, ["requester", "tool", "effect", "targets", "transport", "client"]),
              arguments: document("arguments") ?? { state: "lost" },
            },
      attempt:
        refused === undefined || refused.data.attempt === null
          ? null
          : { ...moment(refused), ...refused.data.attempt },
      claimed: document<Reasoning>("reasoning"),
      evidence:
        planned === undefined
          ? null
          : {
              ...moment(planned),
              ...pick(planned.data, ["summary", "fidelity", "guard", "plan", "files", "expires_at"]),
              digest: planned.data.view?.digest ?? null,
              view: document<View>("view"),
            },
      verdict:
        planned === undefined
          ? firstPass(refused)
          : {
              ...moment(planned),
              ...pick(planned.data, ["verdict", "because", "requirement"]),
              policy: planned.policy,
              rules: planned.data.rules.map((rule) => ({
                ...rule,
                why: explained?.candidates.find(({ id }) => id === rule.id)?.why ?? null,
              })),
            },
      replayed: await replay.ofRequest(request),
      question:
        asked === undefined
          ? null
          : {
              ...moment(asked),
              ...pick(asked.data, ["code", "digest", "requirement"]),
              deadline: asked.data.question.deadline,
            },
      decisions: all("decision.recorded").map((entry) => ({
        ...moment(entry),
        ...pick(entry.data, ["person", "assurance", "counted", "why_not", "proof"]),
        ...pick(entry.data.statement, ["decision", "reason", "solo", "log"]),
      })),
      consent: settled === undefined ? null : { ...moment(settled), ...settled.data },
      grant:
        granted === undefined
          ? null
          : { ...moment(granted), ...pick(granted.data, ["basis", "execute_by", "plan"]) },
      runs: [...all("execution.claimed"), ...all("execution.dispatched")]
        .toSorted((a, b) => a.seq - b.seq)
        .map((entry) => ({
          ...moment(entry),
          kind: entry.kind === "execution.claimed" ? ("claimed" as const) : ("dispatched" as const),
          fence: entry.data.fence,
        })),
      leases: await leasesOf(store, state, request, of("execution.dispatched")),
      outcomes: entries.flatMap(outcomeOf),
      result: document("result"),
      erasures: isGone ? await records.erasures(entries) : [],
    };
  };
}

const moment = ({ time, seq }: Entry): Moment => ({ at: time, seq });

const pick = <T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> =>
  Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;

/** The verdict that ended a call before it was planned. */
function firstPass(refused: Entry<"request.refused"> | undefined): Story["verdict"] {
  if (refused === undefined || refused.data.rules.length + refused.data.because.length === 0) return null;
  const verdict = refused.data.code === "denied_by_policy" ? "deny" : "hold";
  return {
    ...moment(refused),
    ...{ verdict, because: refused.data.because, requirement: null, policy: refused.policy },
    rules: refused.data.rules.map((rule) => ({ ...rule, why: null })),
  };
}

/** A lease stands beside its dispatch, in the same batch (X3). */
async function leasesOf(
  store: StoryParts["store"],
  state: StoryParts["state"],
  request: RequestId,
  dispatched: Entry | undefined,
): Promise<Story["leases"]> {
  if (dispatched?.more === undefined) return [];
  const leases: Story["leases"][number][] = [];
  for await (const { seq, bytes } of store.lines(dispatched.seq + 1)) {
    if (seq > dispatched.seq + dispatched.more) break;
    const entry = decodeEntry(new TextDecoder().decode(bytes), seq);
    if (!entry.ok) throw new CountersignError("LOG_CORRUPT", `entry ${seq}: ${entry.error}`);
    const { value } = entry;
    if (value.kind !== "lease.opened" || value.data.request !== request) continue;
    const isOpen = isId("lse", value.subject) && state.executions.leases.has(value.subject);
    leases.push({ ...moment(value), lease: value.subject, endsAt: value.data.ends_at, isOpen });
  }
  return leases;
}

function outcomeOf(entry: Entry): Story["outcomes"] {
  const says = (outcome: string, message: string, code: string | null = null, by: string | null = null) => [
    { ...moment(entry), kind: entry.kind, outcome, code, message, by },
  ];
  switch (entry.kind) {
    case "request.refused":
      return says("refused", entry.data.message, entry.data.code, entry.data.denied_by);
    case "request.withdrawn":
      return says("withdrawn", entry.data.reason ?? "no reason was given", null, entry.data.by);
    case "request.expired":
      return says(
        "expired",
        `${entry.data.at === "consent" ? "nobody answered" : "it was not started"} before ${entry.data.deadline}`,
      );
    case "request.stale":
      return says("stale", entry.data.message, entry.data.why);
    case "execution.settled":
      return says(
        entry.data.outcome,
        entry.data.error?.message ?? entry.data.summary,
        entry.data.error?.code ?? null,
      );
    case "execution.resolved":
      return says(entry.data.outcome, entry.data.message, null, entry.data.person ?? entry.data.by);
    case "execution.late":
      return says("late result", entry.data.message);
    case "consent.settled":
      return entry.data.outcome === "denied"
        ? says("denied", entry.data.reason ?? "no reason was given", null, entry.data.by.join(", "))
        : [];
    default:
      return [];
  }
}
