import { canonicalBytes, canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { timestamp } from "../base/clock.ts";
import { digestJson, type Digest } from "../base/digest.ts";
import type { LogId, RequestId } from "../base/id.ts";
import { newNonce } from "../consent/nonce.ts";
import type { Question } from "../consent/question.ts";
import { planBlob, type SealedPlan } from "../execution/sealed-plan.ts";
import type { Policy, PolicyInput, Verdict } from "../policy/policy.ts";
import type { Requirement } from "../policy/verdict.ts";
import type { ToolView, View } from "../preview/view.ts";
import type { BlobRef, Target } from "../request/action-request.ts";
import { unresolvedSides, type AnyRequester, type Caller, type Requester } from "../request/principal.ts";
import type { Reasoning } from "../request/reasoning.ts";
import type { BlobStore, NewBlob } from "../store/store.ts";
import type { Preview } from "../preview/preview.ts";
import type { SealedFile, Tool } from "../tool.ts";

// What the gate keeps of a call: sealed bytes for what will run, masked records for what people see.
// Masking happens once, here, before the view is hashed; every channel shows these bytes.

/** A call after the door: parsed, identified, its targets named. */
export interface Received {
  readonly id: RequestId;
  readonly tool: Tool;
  readonly input: JsonObject;
  readonly requester: AnyRequester;
  readonly caller: Caller;
  readonly reasoning: Reasoning;
  readonly targets: readonly Target[];
  readonly registration: Digest | null;
}

/** What the policy is asked about; `preview` null in the first pass. */
export function policyInput(
  received: Received,
  preview: ToolView | null,
  isolation: "service" | "none",
): PolicyInput {
  const { principal, agent } = received.requester;
  const unknown = unresolvedSides(received.requester);
  return {
    tool: received.tool.name,
    effect: received.tool.effect(received.input),
    targets: received.targets,
    agent: unknown.includes("agent") ? null : agent,
    principal: principal.kind === "unresolved" ? null : { kind: principal.kind, id: principal.id },
    args: received.input,
    preview:
      preview === null
        ? null
        : {
            counts: preview.counts,
            facts: preview.facts,
            warnings: preview.warnings.map((warning) => warning.code),
            fidelity: preview.fidelity,
            complete: preview.complete,
          },
    claims: {
      justification: received.reasoning.justification,
      reasoning: received.reasoning.chain !== null,
      client: received.caller.client?.name ?? null,
    },
    gate: { isolation },
    registration: received.registration,
  };
}

export const registrationDigest = (registration: Json): Digest | null =>
  registration === null ? null : digestJson("registry", registration);

/** `keys` are further names of sensitive members, from the policy's masks. */
export interface Masker {
  /** By member name and by form: arguments, results, inputs. */
  json<T>(value: T, keys?: readonly string[]): T;
  /** By form only: what people approve must not be hidden behind a name that an attacker chose. */
  view<T>(value: T): T;
  text(text: string): string;
}

/** What was stored of a request; the entries name it. */
export interface StoredEvidence {
  readonly arguments: BlobRef;
  readonly maskedArguments: BlobRef;
  readonly reasoning: BlobRef | null;
  readonly planned: {
    readonly plan: BlobRef;
    readonly files: readonly (BlobRef & { readonly name: string })[];
    readonly view: BlobRef;
    readonly inputs: BlobRef;
    readonly maskedInputs: BlobRef;
    readonly sealed: SealedPlan;
  } | null;
  /** The documents are there already; what follows from entries that name them waits for this too (L1). */
  readonly durable: Promise<void>;
}

/** Those of them that stay after the request has ended. */
export const recordsOf = ({ maskedArguments, reasoning, planned }: StoredEvidence): readonly BlobRef[] => [
  maskedArguments,
  ...(reasoning === null ? [] : [reasoning]),
  ...(planned === null ? [] : [planned.view, planned.maskedInputs]),
];

/** A value as the document that is kept of it. */
export const jsonDocument = (tag: NewBlob["tag"], value: unknown): NewBlob => ({
  tag,
  bytes: canonicalBytes(value),
  type: "application/json",
});

/** The same document with its secrets masked. Of what holds none, the bytes are the same both times. */
export function maskedDocument(
  mask: Pick<Masker, "json">,
  document: NewBlob,
  value: object,
  keys: readonly string[],
): NewBlob {
  const shown = mask.json(value, keys);
  return shown === value ? document : jsonDocument(document.tag, shown);
}

export const hasReasons = ({ justification, chain }: Reasoning): boolean =>
  justification !== null || chain !== null;

/** What {@link storeEvidence} writes for a request, for the limit on bytes a day. */
export interface PlannedEvidence {
  readonly preview: Preview;
  readonly view: View;
  readonly input: PolicyInput;
  readonly maskKeys: readonly string[];
}

/** Bytes of all documents, sealed and masked, before masking. */
export function evidenceBytes(received: Received, planned: PlannedEvidence | null): number {
  const size = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
  const common = 2 * size(received.input) + size(received.reasoning);
  if (planned === null) return common;
  const { preview, view, input } = planned;
  const files = preview.files.reduce((sum, file) => sum + file.bytes.length, 0);
  return common + size(preview.plan) + size(preview.lease) + size(view) + 2 * size(input) + files;
}

/** Stores all documents of a request in one step. */
export async function storeEvidence(
  blobs: BlobStore,
  mask: Masker,
  received: Received,
  planned: PlannedEvidence | null,
): Promise<StoredEvidence> {
  const maskKeys = planned?.maskKeys ?? [];
  const { id, reasoning } = received;
  const seal = (blob: NewBlob): NewBlob => ({ ...blob, sealFor: id });
  const hasReasoning = hasReasons(reasoning);
  const files = planned?.preview.files ?? [];
  const sealed: SealedPlan | null =
    planned === null ? null : { plan: planned.preview.plan, lease: planned.preview.lease };

  const given = jsonDocument("arguments", received.input);
  const wanted: NewBlob[] = [
    seal(given),
    maskedDocument(mask, given, received.input, maskKeys),
    ...(hasReasoning ? [jsonDocument("reasoning", mask.view(reasoning))] : []),
  ];
  const common = wanted.length;
  if (planned !== null && sealed !== null) {
    const inputs = jsonDocument("inputs", planned.input);
    wanted.push(
      planBlob(sealed, id),
      jsonDocument("view", planned.view),
      seal(inputs),
      maskedDocument(mask, inputs, planned.input, maskKeys),
      ...files.map((file: SealedFile) => seal({ tag: "file", bytes: file.bytes, type: file.type })),
    );
  }
  const { refs, durable } = await blobs.place(wanted);
  const at = (index: number): BlobRef => {
    const ref = refs[index];
    if (ref === undefined) throw new Error("the blob store answered with too few references");
    return ref;
  };
  return {
    arguments: at(0),
    maskedArguments: at(1),
    reasoning: hasReasoning ? at(2) : null,
    planned:
      sealed === null
        ? null
        : {
            plan: at(common),
            view: at(common + 1),
            inputs: at(common + 2),
            maskedInputs: at(common + 3),
            files: files.map((file, i) => ({ ...at(common + 4 + i), name: file.name })),
            sealed,
          },
    durable,
  };
}

/** The question: D1 in one place. */
export function makeQuestion(parts: {
  readonly log: LogId;
  readonly received: Received;
  /** Resolved: nobody is asked about a request of somebody unknown (C1). */
  readonly requester: Requester;
  readonly stored: StoredEvidence & { readonly planned: NonNullable<StoredEvidence["planned"]> };
  readonly preview: Preview;
  readonly requirement: Requirement;
  readonly requirementDigest: Digest;
  /** Epoch milliseconds. */
  readonly now: number;
}): Question {
  const { received, stored, preview, requirement, now } = parts;
  const within = now + requirement.withinMs;
  return {
    typ: "countersign.question",
    v: 1,
    log: parts.log,
    request: received.id,
    requester: parts.requester,
    tool: received.tool.name,
    tool_definition: received.tool.definition,
    arguments: stored.arguments.digest,
    targets: received.targets,
    plan: stored.planned.plan.digest,
    files: stored.planned.files.map((file) => file.digest),
    view: stored.planned.view.digest,
    reasoning: stored.reasoning?.digest ?? null,
    guard: preview.guard,
    fidelity: preview.view.fidelity,
    requirement: parts.requirementDigest,
    execute: requirement.execute,
    nonce: newNonce(),
    asked_at: timestamp(now),
    deadline: timestamp(preview.expiresAt === null ? within : Math.min(within, preview.expiresAt)),
  };
}

/** Names of members that the policy wants masked for a request that its rules matched. */
export const maskKeysOf = (policy: Policy, verdict: Verdict): readonly string[] =>
  verdict.masks.flatMap((name) => policy.masks.get(name) ?? []);

/** What rules said, short enough for an entry. */
export const becauseOf = (verdict: Verdict): readonly string[] =>
  verdict.because.map((text) => text.slice(0, 500));

/** Masked reasoning as the view shows it. */
export const reasoningForView = (mask: Masker, reasoning: Reasoning): View["reasoning"] => ({
  justification: reasoning.justification === null ? null : mask.text(reasoning.justification),
  chain: reasoning.chain === null ? null : canonicalJson(mask.view(reasoning.chain)),
});
