import { canonicalCopy, type JsonObject } from "../base/canonical-json.ts";
import type { Digest, DigestTag } from "../base/digest.ts";
import { isId, type RequestId } from "../base/id.ts";
import type { Result } from "../base/result.ts";
import { CountersignError, isFault } from "../errors.ts";
import { decodeEntry } from "../log/encode.ts";
import type { Entry } from "../log/entry.ts";
import { findErasures } from "../log/erasures.ts";
import type { Explanation, Policy, PolicyInput } from "../policy/policy.ts";
import { masksIn, replayVerdict, type RecordedVerdict } from "../policy/replay.ts";
import type { BlobRef } from "../request/action-request.ts";
import { unresolvedSides } from "../request/principal.ts";
import type { Reasoning } from "../request/reasoning.ts";
import type { Store } from "../store/store.ts";

// Every recorded verdict derived again, from the inputs and the policy text that the log names.
//
//   The sealed inputs are read while they exist, then the masked ones. Where a mask stands for a value, or a document
//   was erased, the verdict is partial: it can't be derived again, and that is no sign of anything.
//   A document that is changed, or gone without an entry, is a difference: somebody touched the record.

/** One verdict of the log, derived again. */
export interface ReplayedVerdict {
  readonly request: RequestId;
  /** The entry that recorded it. */
  readonly seq: number;
  readonly policy: Digest | null;
  readonly verdict: RecordedVerdict["verdict"];
  readonly outcome: "equal" | "partial" | "differs";
  readonly inputs: "sealed" | "masked" | "none";
  /** What differs, or why it is partial: sentences that quote the record, not neutral. */
  readonly notes: readonly string[];
}

export interface Replay {
  /** All verdicts of one request, oldest first. */
  ofRequest(request: RequestId): Promise<readonly ReplayedVerdict[]>;
  /**
   * Which rules spoke about a planned request, and why, by the policy of then; null where that can't be told any more.
   * From the masked inputs: what it quotes is for a screen.
   */
  explain(planned: Entry<"request.planned">): Promise<Explanation | null>;
  /** All verdicts of the log, about in its order. `progress` hears of the entries read so far, and of all. */
  ofLog(progress?: (entries: number, of: number) => void): AsyncIterable<ReplayedVerdict>;
}

export interface ReplayParts {
  readonly store: Pick<Store, "blobs" | "catchUp" | "entriesOf" | "head" | "lines">;
  /** Sequence numbers of all adoptions, ascending. */
  adoptions(): readonly number[];
  load(text: string): Result<Policy, readonly string[]>;
}

/** A document that was not to be had: the verdict is partial if the log says that it was erased, else it differs. */
interface Gone {
  readonly verdict: Omit<ReplayedVerdict, "outcome" | "notes">;
  readonly what: string;
}
type Replayed = { readonly done: ReplayedVerdict } | { readonly gone: Gone };
type Loaded = { readonly policy: Policy } | { readonly why: string };

const POLICIES_AT_HAND = 8;
const PROGRESS_EVERY = 1_000;

export function createReplay(parts: ReplayParts): Replay {
  const { store } = parts;
  const policies = new Map<string, Loaded>();

  const policyOf = async (revision: Digest | null, seq: number): Promise<Loaded> => {
    if (revision === null) return { why: "the entry names no policy" };
    const known = policies.get(revision);
    if (known !== undefined) return known;
    const loaded = await loadPolicy(revision, seq);
    for (const oldest of policies.keys()) {
      if (policies.size < POLICIES_AT_HAND) break;
      policies.delete(oldest);
    }
    policies.set(revision, loaded);
    return loaded;
  };

  const loadPolicy = async (revision: Digest, before: number): Promise<Loaded> => {
    for (const at of parts
      .adoptions()
      .filter((one) => one < before)
      .toReversed()) {
      const entry = await entryAt(store, at);
      if (entry.kind !== "policy.adopted" || entry.data.revision !== revision) continue;
      const text = await read(store, "policy", entry.data.text);
      if (text.state !== "kept") return { why: `the text of policy ${revision} is ${text.state}` };
      const loaded = parts.load(new TextDecoder().decode(text.bytes));
      if (!loaded.ok) return { why: `policy ${revision} does not load here: ${loaded.error[0] ?? ""}` };
      const here = loaded.value.revision;
      return here === revision
        ? { policy: loaded.value }
        : { why: `the text of policy ${revision} resolves to ${here}` };
    }
    return { why: `policy ${revision} was not adopted before` };
  };

  const judge = async (
    of: Pick<ReplayedVerdict, "request" | "seq" | "policy">,
    recorded: RecordedVerdict,
    found: FoundInputs,
  ): Promise<Replayed> => {
    const verdict = { ...of, verdict: recorded.verdict, inputs: found.inputs };
    const say = (outcome: ReplayedVerdict["outcome"], notes: readonly string[]): Replayed => ({
      done: { ...verdict, outcome, notes },
    });
    if ("what" in found) {
      const { state, what } = found;
      return state === "missing"
        ? { gone: { verdict, what } }
        : say("differs", [`${what} is not what was recorded`]);
    }
    const loaded = await policyOf(of.policy, of.seq);
    if ("why" in loaded) return say("differs", [loaded.why]);
    const results = found.candidates.map((input) => replayVerdict(loaded.policy, input, recorded));
    const [differences = []] = results;
    const masks = found.inputs === "masked" ? masksIn(found.candidates[0]) : 0;
    if (masks > 0) {
      const same = differences.length === 0 ? "the same" : "another";
      const count = `${masks} ${masks === 1 ? "mask stands" : "masks stand"}`;
      return say("partial", [`${count} in the inputs; read as they are they give ${same} verdict`]);
    }
    if (results.every((one) => one.length === 0)) return say("equal", []);
    if (results.some((one) => one.length === 0)) {
      return say("partial", [
        "it rests on gate.isolation, which is not in the record of a call that was not planned",
      ]);
    }
    return say("differs", differences);
  };

  const replayEntry = async (
    entry: Entry,
    received: Entry<"request.received"> | null,
  ): Promise<Replayed | null> => {
    const { subject, seq, policy } = entry;
    if (!isId("req", subject)) return null;
    const of = { request: subject, seq, policy };
    if (entry.kind === "request.planned") {
      const { verdict, rules, because, requirement, requirement_digest: requirementDigest } = entry.data;
      const recorded = { verdict, rules, because, requirement, requirementDigest };
      return judge(of, recorded, await plannedInputs(store, entry, subject));
    }
    if (entry.kind !== "request.refused" || received === null) return null;
    const verdict = firstVerdict(entry);
    if (verdict === null) return null;
    const { rules, because } = entry.data;
    return judge(of, { verdict, rules, because }, await receivedInputs(store, received, subject));
  };

  const settle = ({ verdict, what }: Gone, erasedAt: string | null): ReplayedVerdict =>
    erasedAt === null
      ? { ...verdict, outcome: "differs", notes: [`${what} is gone, and no entry says that it was erased`] }
      : { ...verdict, outcome: "partial", notes: [`${what} was erased on ${erasedAt}`] };

  return {
    async ofRequest(request) {
      await store.catchUp();
      const verdicts: ReplayedVerdict[] = [];
      let received: Entry<"request.received"> | null = null;
      let planned = false;
      for await (const { entry } of store.entriesOf(request)) {
        if (entry.kind === "request.received") received = entry;
        const replayed = await replayEntry(entry, planned ? null : received);
        planned ||= entry.kind === "request.planned";
        if (replayed === null) continue;
        if ("done" in replayed) verdicts.push(replayed.done);
        else {
          const erasure = (await findErasures(store, request, entry.seq)).at(-1);
          verdicts.push(settle(replayed.gone, erasure?.entry.time ?? null));
        }
      }
      return verdicts;
    },

    async explain({ data, policy, seq }) {
      const masked = await read(store, "inputs", data.masked_inputs);
      const loaded = await policyOf(policy, seq);
      if (masked.state !== "kept" || !("policy" in loaded)) return null;
      return loaded.policy.explain(parse<PolicyInput>(masked.bytes));
    },

    async *ofLog(progress) {
      await store.catchUp();
      const { size } = store.head();
      /** Requests that were received and not planned yet: their batch is being read. */
      const fresh = new Map<string, Entry<"request.received">>();
      /** Verdicts whose documents are gone; their erasure, if there was one, stands later in the log. */
      const gone = new Map<string, Gone[]>();
      for await (const { seq, bytes } of store.lines(0)) {
        if (seq % PROGRESS_EVERY === 0) progress?.(seq, size);
        const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
        if (!SPEAKS.test(line.toString("latin1", 0, HEAD_BYTES))) continue;
        const entry = decoded(line, seq);
        if (entry.kind === "blob.erased" && entry.data.documents !== undefined) {
          const request = entry.data.request ?? "";
          for (const one of gone.get(request) ?? []) yield settle(one, entry.time);
          gone.delete(request);
          continue;
        }
        if (entry.kind === "request.received") {
          if (entry.more !== undefined) fresh.set(entry.subject, entry);
          continue;
        }
        const replayed = await replayEntry(entry, fresh.get(entry.subject) ?? null);
        fresh.delete(entry.subject);
        if (replayed === null) continue;
        if ("done" in replayed) yield replayed.done;
        else gone.set(entry.subject, [...(gone.get(entry.subject) ?? []), replayed.gone]);
      }
      progress?.(size, size);
      for (const left of gone.values()) for (const one of left) yield settle(one, null);
    },
  };
}

const SPEAKS = /"kind":"(?:request\.(?:received|planned|refused)|blob\.erased)"/;
const HEAD_BYTES = 160;

type FoundInputs =
  | {
      readonly state: "found";
      readonly inputs: "sealed" | "masked";
      /** More than one where something that the policy saw was not recorded. */
      readonly candidates: readonly PolicyInput[];
    }
  | { readonly state: "missing" | "changed"; readonly inputs: "none"; readonly what: string };

/** The second pass: its inputs were recorded whole. */
async function plannedInputs(
  store: ReplayParts["store"],
  { data }: Entry<"request.planned">,
  request: RequestId,
): Promise<FoundInputs> {
  const found = await sealedOrMasked(store, "inputs", data.inputs, data.masked_inputs, request);
  if (!("bytes" in found)) return found;
  return { state: "found", inputs: found.inputs, candidates: [parse<PolicyInput>(found.bytes)] };
}

/** The first pass, which ended the call: its inputs are what was received. */
async function receivedInputs(
  store: ReplayParts["store"],
  { data }: Entry<"request.received">,
  request: RequestId,
): Promise<FoundInputs> {
  const found = await sealedOrMasked(store, "arguments", data.arguments, data.maskedArguments, request);
  if (!("bytes" in found)) return found;
  const claimed = data.reasoning === null ? null : await read(store, "reasoning", data.reasoning);
  if (claimed !== null && claimed.state !== "kept") {
    return { state: claimed.state, inputs: "none", what: "the agent's reasoning" };
  }
  const reasoning = claimed === null ? null : parse<Reasoning>(claimed.bytes);
  const { principal, agent } = data.requester;
  const unknown = unresolvedSides(data.requester);
  const input = (isolation: "service" | "none"): PolicyInput => ({
    tool: data.tool,
    effect: data.effect,
    targets: data.targets,
    agent: unknown.includes("agent") ? null : agent,
    principal: principal.kind === "unresolved" ? null : { kind: principal.kind, id: principal.id },
    args: parse<JsonObject>(found.bytes),
    preview: null,
    claims: {
      justification: reasoning?.justification ?? null,
      reasoning: (reasoning?.chain ?? null) !== null,
      client: data.client?.name ?? null,
    },
    gate: { isolation },
    registration: null,
  });
  // The reasoning is kept masked only.
  const inputs = reasoning !== null && masksIn(reasoning.justification) > 0 ? "masked" : found.inputs;
  return { state: "found", inputs, candidates: [input("service"), input("none")] };
}

/** A refusal that the first pass's verdict made: a deny, or a hold of somebody whom nobody can be asked about (C1). */
function firstVerdict({ data }: Entry<"request.refused">): "deny" | "hold" | null {
  if (data.attempt !== null) return null;
  if (data.code === "denied_by_policy") return "deny";
  return data.code === "unknown_requester" ? "hold" : null;
}

async function sealedOrMasked(
  store: ReplayParts["store"],
  tag: "inputs" | "arguments",
  sealed: BlobRef,
  masked: BlobRef,
  request: RequestId,
): Promise<
  | { readonly bytes: Uint8Array; readonly inputs: "sealed" | "masked" }
  | { readonly state: "missing" | "changed"; readonly inputs: "none"; readonly what: string }
> {
  const what = tag === "inputs" ? "the policy input" : "the arguments";
  const secret = await read(store, tag, sealed, request);
  if (secret.state === "kept") return { bytes: secret.bytes, inputs: "sealed" };
  if (secret.state === "changed") return { state: "changed", inputs: "none", what: `${what}, sealed,` };
  const open = await read(store, tag, masked);
  if (open.state === "kept") return { bytes: open.bytes, inputs: "masked" };
  return { state: open.state, inputs: "none", what };
}

type ReadBlob =
  { readonly state: "kept"; readonly bytes: Uint8Array } | { readonly state: "missing" | "changed" };

async function read(
  { blobs }: ReplayParts["store"],
  tag: DigestTag,
  ref: BlobRef,
  sealedFor?: RequestId,
): Promise<ReadBlob> {
  try {
    return { state: "kept", bytes: await blobs.get(tag, ref, sealedFor) };
  } catch (error) {
    if (isFault(error, "BLOB_MISSING")) return { state: "missing" };
    if (isFault(error, "BLOB_CORRUPT")) return { state: "changed" };
    throw error;
  }
}

async function entryAt(store: ReplayParts["store"], seq: number): Promise<Entry> {
  for await (const { bytes } of store.lines(seq)) return decoded(bytes, seq);
  throw new CountersignError("LOG_CORRUPT", `the log has no entry ${seq}`);
}

function decoded(bytes: Uint8Array, seq: number): Entry {
  const entry = decodeEntry(new TextDecoder().decode(bytes), seq);
  if (entry.ok) return entry.value;
  throw new CountersignError("LOG_CORRUPT", `entry ${seq}: ${entry.error}`);
}

const parse = <T>(bytes: Uint8Array): T => canonicalCopy(JSON.parse(new TextDecoder().decode(bytes)) as T);
