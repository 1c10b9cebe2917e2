import type { Timestamp } from "../base/clock.ts";
import { digestJson, requestCode, type Digest } from "../base/digest.ts";
import type { LogId, RequestId } from "../base/id.ts";
import type { Fidelity } from "../preview/fidelity.ts";
import type { ExecuteWhen } from "../policy/verdict.ts";
import type { Target } from "../request/action-request.ts";
import type { Requester } from "../request/principal.ts";

// D1. The question digest covers request, principal, agent, chain and owners, tool definition, arguments, targets,
//     plan, files, view, reasoning, guard, fidelity, requirement, `execute`, nonce, deadline.
// D3. If anything under the digest changes, it is a new question.

/** What people are asked: one document per request. Its digest is *the* digest. */
export interface Question {
  readonly typ: "countersign.question";
  readonly v: 1;
  readonly log: LogId;
  readonly request: RequestId;
  readonly requester: Requester;
  readonly tool: string;
  readonly tool_definition: Digest;
  readonly arguments: Digest;
  readonly targets: readonly Target[];
  readonly plan: Digest;
  readonly files: readonly Digest[];
  readonly view: Digest;
  readonly reasoning: Digest | null;
  readonly guard: string;
  readonly fidelity: Fidelity;
  readonly requirement: Digest;
  readonly execute: ExecuteWhen;
  /** 128 random bits, hex; minted by the gate, one per question. */
  readonly nonce: string;
  readonly asked_at: Timestamp;
  readonly deadline: Timestamp;
}

/** *The* digest of a request: sha256 over `countersign.question.v1\n` and the RFC 8785 bytes of the question. */
export const questionDigest = (question: Question): Digest => digestJson("question", question);

/** The six characters people compare across card, console, terminal and agent transcript. */
export const codeOf = (question: Question): string => requestCode(questionDigest(question));
