import type { Digest } from "../base/digest.ts";
import type { SkFacts } from "../base/sshsig.ts";
import { statementSummary } from "../consent/summary.ts";
import { meets, type Clause } from "../policy/verdict.ts";
import type { Target } from "../request/action-request.ts";
import type { AnyRequester } from "../request/principal.ts";
import type { Checkpoint, Isolation } from "./checkpoint.ts";
import type { Entry } from "./entry.ts";
import type { PolicyPeople } from "./policy-document.ts";
import type { DecisionFacts } from "./verify-decision.ts";

/** What a receipt shows, for people. Text in it may come from agents and backends: neutralise it when printing (P3). */
export interface ReceiptSummary {
  readonly request: string;
  readonly log: { readonly id: string; readonly key: string; readonly size: number; readonly root: Digest };
  readonly isolation: Isolation | null;
  readonly requester: AnyRequester | null;
  readonly tool: string | null;
  readonly effect: string | null;
  readonly targets: readonly Target[];
  /** The tool's own line about the effect. */
  readonly planned: {
    readonly summary: string;
    readonly plan: Digest | null;
    readonly verdict: string;
  } | null;
  /** What people were asked; null where the policy decided alone. */
  readonly asked: {
    readonly summary: string;
    readonly question: Digest;
    readonly code: string;
    readonly at: string;
    readonly deadline: string;
  } | null;
  readonly decisions: readonly DecisionSummary[];
  /** Each clause of the requirement with the people whose approval counted for it. */
  readonly quorum: readonly {
    readonly clause: Clause;
    readonly by: readonly string[];
    readonly met: boolean;
  }[];
  readonly outcome: { readonly phase: string; readonly at: string; readonly message: string | null };
  /** What this receipt can't show, in sentences. */
  readonly limits: readonly string[];
}

export interface DecisionSummary {
  readonly person: string;
  /** By the policy that ran; null where it is not in the receipt. */
  readonly name: string | null;
  readonly decision: "approve" | "deny" | "take_back";
  readonly at: string;
  readonly counted: boolean;
  readonly whyNot: string | null;
  readonly assurance: string;
  readonly solo: boolean;
  readonly reason: string | null;
  /** Of a deny: the agent may correct the call and ask again. */
  readonly fixable: boolean;
  /** Null where the signature does not verify. */
  readonly fingerprint: string | null;
  readonly keyType: string | null;
  readonly sk: SkFacts | null;
  /** Of a passkey whose answer verifies; null otherwise. */
  readonly passkey: DecisionFacts["passkey"];
  /** Set where nobody signed, and the gateway says that a session of the person decided. */
  readonly session: DecisionFacts["session"];
  /** True where the policy that ran, proved by its revision, says that the key is this person's. */
  readonly ownerProved: boolean;
  /** Size of the log that the person's own device had checked. */
  readonly sawLogOf: number | null;
  readonly faulty: boolean;
}

/** A decision with what its verification found. */
export interface VerifiedDecision {
  readonly entry: Entry<"decision.recorded">;
  readonly facts: DecisionFacts;
  readonly people: PolicyPeople | null;
  readonly faulty: boolean;
}

interface SummaryParts {
  readonly request: string;
  readonly key: string;
  readonly checkpoint: Checkpoint;
  readonly logId: string;
  readonly entries: readonly Entry[];
  readonly decisions: readonly VerifiedDecision[];
  readonly phase: string;
  /** Entries that say what was erased of the request's documents. */
  readonly erasures: readonly Entry<"blob.erased">[];
  /** Documents that the receipt does not hold. */
  readonly missing: readonly { readonly tag: string; readonly digest: Digest }[];
}

export function summarise(parts: SummaryParts): ReceiptSummary {
  const { entries, checkpoint } = parts;
  const of = <K extends Entry["kind"]>(kind: K): Entry<K> | undefined =>
    entries.find((entry) => entry.kind === kind) as Entry<K> | undefined;
  const received = of("request.received")?.data;
  const planned = of("request.planned")?.data;
  const asked = of("consent.asked");
  const decisions = parts.decisions.map(describeDecision);
  const last = entries.at(-1) as Entry;
  return {
    request: parts.request,
    log: { id: parts.logId, key: parts.key, size: checkpoint.size, root: checkpoint.root },
    isolation: checkpoint.isolation,
    requester: received?.requester ?? null,
    tool: received?.tool ?? null,
    effect: received?.effect ?? null,
    targets: received?.targets ?? [],
    planned:
      planned === undefined
        ? null
        : { summary: planned.summary, plan: planned.plan?.digest ?? null, verdict: planned.verdict },
    asked:
      asked === undefined
        ? null
        : {
            summary: statementSummary(asked.data.question),
            question: asked.data.digest,
            code: asked.data.code,
            at: asked.time,
            deadline: asked.data.question.deadline,
          },
    decisions,
    quorum: asked === undefined ? [] : quorumOf(asked.data.requirement.clauses, parts.decisions),
    outcome: { phase: parts.phase, at: last.time, message: messageOf(last) },
    limits: [...limitsOf(checkpoint, decisions), ...goneOf(parts)],
  };
}

function describeDecision({ entry, facts, people, faulty }: VerifiedDecision): DecisionSummary {
  const { person, statement, assurance, counted, why_not: whyNot } = entry.data;
  return {
    person,
    name: people?.nameOf(person) ?? null,
    decision: statement.decision,
    at: entry.time,
    counted,
    whyNot,
    assurance,
    solo: statement.solo,
    reason: statement.reason,
    fixable: statement.fixable === true,
    ...facts,
    // A passkey's owner is in the entry that enrolled it, which verification has read; a session proves none.
    ownerProved:
      facts.fingerprint === null
        ? facts.passkey !== null && !faulty
        : people?.ownerOf(facts.fingerprint)?.person === person,
    sawLogOf: statement.log?.size ?? null,
    faulty,
  };
}

/** Standing, faultless approvals by clause: distinct people (C2). */
function quorumOf(
  clauses: readonly Clause[],
  decisions: readonly VerifiedDecision[],
): ReceiptSummary["quorum"] {
  const takenBack = new Set(decisions.map(({ entry }) => entry.data.statement.takes_back));
  return clauses.map((clause, index) => {
    const by = new Set<string>();
    for (const { entry, people, faulty } of decisions) {
      const { person, statement, statement_digest: digest, counted, assurance, clauses: served } = entry.data;
      if (faulty || !counted || statement.decision !== "approve" || takenBack.has(digest)) continue;
      // Who could serve it by the time says so in the entry, which was checked.
      const serves = served?.includes(index) ?? people?.isMember(person, clause.from) !== false;
      if (meets(assurance, clause.assurance) && serves) by.add(person);
    }
    return { clause, by: [...by], met: by.size >= clause.count };
  });
}

/** Documents that the receipt can't hold, and whether the log says why. */
function goneOf({ erasures, missing }: Pick<SummaryParts, "erasures" | "missing">): string[] {
  const said = new Set(erasures.flatMap(({ data }) => data.documents ?? []));
  const lost = missing.filter(({ digest }) => !said.has(digest));
  return [
    ...erasures.map(({ time, data }) => {
      const by = data.by === undefined ? "" : ` by ${data.by}`;
      return `documents of the request were erased on ${time}${by}: ${data.why}`;
    }),
    ...lost.map(({ tag }) => `a document (${tag}) is missing, and no entry here says that it was erased`),
  ];
}

function messageOf(entry: Entry): string | null {
  switch (entry.kind) {
    case "execution.settled":
      return entry.data.summary;
    case "request.refused":
    case "request.stale":
    case "execution.resolved":
    case "execution.late":
      return entry.data.message;
    case "consent.settled":
    case "request.withdrawn":
      return entry.data.reason;
    default:
      return null;
  }
}

function limitsOf(checkpoint: Checkpoint, decisions: readonly DecisionSummary[]): string[] {
  const limits = [
    "a receipt shows the entries it holds; that no other entry of the request exists, only the whole log shows",
    "that no other policy was adopted between the one it holds and a decision, only the whole log shows",
  ];
  if (checkpoint.isolation === "none") {
    limits.push(
      "isolation: none; the gateway ran as the agent's own account, which could have read the log's key",
    );
  }
  if (checkpoint.isolation === null)
    limits.push("the checkpoint does not say with which isolation the gateway ran");
  if (decisions.some(({ session }) => session !== null)) {
    limits.push(
      "a decision by session was signed by nobody: the gateway says that the person was signed in and decided so",
    );
  }
  if (decisions.some(({ passkey }) => passkey !== null)) {
    limits.push("the hardware of passkeys was not attested: software can make such a signature");
  }
  if (decisions.some(({ sk }) => sk !== null)) {
    limits.push("the hardware of sk- keys was not attested: software can make such a signature");
  }
  if (decisions.some(({ fingerprint, sk }) => fingerprint !== null && sk === null)) {
    limits.push("an SSH key that is not sk- proves that the key signed, not that a person was present");
  }
  return limits;
}
