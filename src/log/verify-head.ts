import { timestamp } from "../base/clock.ts";

// The first members of a line, read without parsing the rest: most entries need no more to be verified.
//
// The order v, seq, time, kind, subject, policy is fixed by the format. What stands between policy and data (keys, a
// batch marker) is the writer's business and is skipped.

export interface LineHead {
  /** 1, or what a later release writes. */
  readonly version: number;
  readonly seq: number;
  /** As it stands; compares as text. */
  readonly time: string;
  readonly kind: string;
  readonly subject: string;
  readonly policy: string | null;
}

/** Longest head: 16 digits of seq, 64 characters of subject, a digest. */
const HEAD_BYTES = 272;
const HEAD =
  /^\{"v":([1-9]\d{0,3}),"seq":(0|[1-9]\d{0,15}),"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","kind":"([a-z_.]{1,40})","subject":"([A-Za-z0-9_.:@/-]{1,64})","policy":(?:null|"(sha256:[0-9a-f]{64})"),"/;

/** The head of the line between `start` and `end`; null where these bytes are not the start of an entry. */
export function readHead(buffer: Buffer, start: number, end: number): LineHead | null {
  // The last byte of an entry closes its object: a line cut or run together shows here already.
  if (buffer[end - 1] !== 0x7d) return null;
  const match = HEAD.exec(buffer.toString("latin1", start, Math.min(end, start + HEAD_BYTES)));
  if (match === null) return null;
  return {
    version: Number(match[1]),
    seq: Number(match[2]),
    time: match[3] as string,
    kind: match[4] as string,
    subject: match[5] as string,
    policy: match[6] ?? null,
  };
}

/** Whether the digits of a head's time are a moment that exists. */
export const isMoment = (time: string): boolean => {
  const ms = Date.parse(time);
  return Number.isFinite(ms) && timestamp(ms) === time;
};
