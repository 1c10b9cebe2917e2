import {
  createSharer,
  flat,
  unpack,
  unpackedMembers,
  type Packed,
  type Packer,
  type Shape,
} from "../base/packed-json.ts";
import { parseTimestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { Requirement } from "../policy/verdict.ts";
import { createHeldPacker } from "../request/held-packer.ts";
import type { Requester } from "../request/principal.ts";
import type { Consent, DecisionRecord, EscalatedStep, Inquiry } from "./consents.ts";
import type { Question } from "./question.ts";

// A question that waits, kept small: thousands may. The question is packed, and unpacked when it is asked for; lists
// that nothing was added to yet are the same one for all.

const createQuestionPacker = (): Packer => createHeldPacker(["nonce"], ["requirement", "tool_definition"]);

/** What the questions of one home have in common. */
export interface Commons {
  readonly packer: Packer;
  /** Equal requirements become the same object, and so do equal requesters. */
  readonly share: <T extends object>(value: T) => T;
}

export const createCommons = (): Commons => ({ packer: createQuestionPacker(), share: createSharer() });

const NONE: readonly never[] = Object.freeze([]);

const QUESTION = unpackedMembers<HeldConsent, Pick<Consent, "question">>({
  question: (of) => unpack(of, [of.request]) as Question,
});

export class HeldConsent implements Consent, Packed {
  readonly request: RequestId;
  readonly digest: Digest;
  readonly code: string;
  declare readonly question: Question;
  readonly requirement: Requirement;
  readonly requester: Requester;
  readonly askedAt: number;
  readonly deadline: number;
  decisions: readonly DecisionRecord[] = NONE;
  escalated: readonly EscalatedStep[] = NONE;
  inquiries: readonly Inquiry[] = NONE;
  reminded: Consent["reminded"] = null;
  settled: Consent["settled"] = null;
  readonly shape: Shape;
  readonly own: string;

  constructor(
    of: Pick<Consent, "request" | "digest" | "code" | "requirement" | "requester" | "askedAt" | "deadline">,
    packed: Packed,
  ) {
    this.request = of.request;
    this.digest = of.digest;
    this.code = of.code;
    this.requirement = of.requirement;
    this.requester = of.requester;
    this.askedAt = of.askedAt;
    this.deadline = of.deadline;
    this.shape = packed.shape;
    this.own = packed.own;
    Object.defineProperties(this, QUESTION);
  }

  /** True while nothing has happened since it was asked. */
  get isUntouched(): boolean {
    const lists = [this.decisions, this.escalated, this.inquiries];
    return lists.every((list) => list.length === 0) && this.reminded === null && this.settled === null;
  }
}

/** A question nobody has answered yet. */
export function holdConsent(
  { packer, share }: Commons,
  request: RequestId,
  asked: {
    readonly question: Question;
    readonly digest: Digest;
    readonly code: string;
    readonly requirement: Requirement;
  },
): HeldConsent {
  const { question, digest, code } = asked;
  const of = {
    ...{ request, digest: flat(digest), code: flat(code) },
    requirement: share(asked.requirement),
    requester: share(question.requester),
    askedAt: parseTimestamp(question.asked_at),
    deadline: parseTimestamp(question.deadline),
  };
  return new HeldConsent(of, packer.pack(question, [request]));
}
