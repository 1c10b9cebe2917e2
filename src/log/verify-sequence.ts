import { finding, type Finding, type Place } from "./finding.ts";
import { placeOf, type Cursor } from "./verify-segments.ts";

// Says what happened to the order of the lines, as well as the lines themselves can tell. A line that is not the one
// due is held until the next line shows what it was: an altered number, a repeat, a swap or the far side of a gap.

interface Odd {
  readonly seq: number | null;
  readonly place: Place;
}

interface Gap {
  from: number;
  to: number;
  readonly place: Place;
}

export interface Sequence {
  /** The line's sequence number; null where the line is not an entry. True where it is the one due. */
  next(seq: number | null, at: Cursor): boolean;
  /** The number of the line due. */
  readonly due: number;
  /** The next `count` lines are those due. Only where nothing was broken so far. */
  pass(count: number): void;
  /** True from the first line that was not the one due. */
  readonly broken: boolean;
  finish(): readonly Finding[];
}

export function createSequence(): Sequence {
  const findings: Finding[] = [];
  const gaps: Gap[] = [];
  /** Entries that stood before their place: their own place is no gap. */
  const early = new Set<number>();
  let due = 0;
  let odd: Odd | null = null;
  let broken = false;

  const advance = (to: number): void => {
    due = to;
    while (early.delete(due)) due += 1;
  };
  const changed = (place: Place, at: number, message: string): void => {
    findings.push(finding("changed", { seq: at, place, message }));
  };
  const fillGap = (seq: number): boolean => {
    const index = gaps.findIndex(({ from, to }) => from <= seq && seq <= to);
    const gap = gaps[index];
    if (gap === undefined) return false;
    const parts = [
      { ...gap, to: seq - 1 },
      { ...gap, from: seq + 1 },
    ];
    gaps.splice(index, 1, ...parts.filter(({ from, to }) => from <= to));
    return true;
  };

  /** Judges the held line, now that the one after it is known (null: there is none). */
  const judge = ({ seq, place }: Odd, after: number | null): void => {
    if (seq === null) {
      if (after === due) {
        findings.push(
          finding("inserted", { place, message: "a line that is no entry stands before this entry" }),
        );
      } else {
        changed(place, due, `entry ${due} does not have the form of an entry`);
        advance(due + 1);
      }
    } else if (seq < due) {
      if (fillGap(seq)) {
        const message = `entry ${seq} stands after entry ${due - 1}`;
        findings.push(finding("reordered", { seq, place, message }));
      } else if (after === due + 1) {
        changed(place, due, `entry ${due} carries the number ${seq}`);
        advance(due + 1);
      } else findings.push(finding("repeated", { seq, place, message: `entry ${seq} stands a second time` }));
    } else if (after === due && seq === due + 1) {
      findings.push(
        finding("reordered", { seq, place, message: `entries ${due} and ${seq} have changed places` }),
      );
      early.add(seq);
    } else if (after === due) {
      findings.push(finding("reordered", { seq, place, message: `entry ${seq} stands before entry ${due}` }));
      early.add(seq);
    } else if (after === due + 1) {
      changed(place, due, `entry ${due} carries the number ${seq}`);
      advance(due + 1);
    } else {
      gaps.push({ from: due, to: seq - 1, place });
      advance(seq + 1);
    }
  };

  return {
    get broken() {
      return broken;
    },
    get due() {
      return due;
    },
    pass(count) {
      due += count;
    },
    next(seq, at) {
      if (odd !== null) {
        const held = odd;
        odd = null;
        judge(held, seq);
      }
      if (seq === due) {
        advance(due + 1);
        return true;
      }
      broken = true;
      odd = { seq, place: placeOf(at) };
      return false;
    },
    finish() {
      if (odd !== null) judge(odd, null);
      odd = null;
      for (const { from, to, place } of gaps) {
        const what = from === to ? `entry ${from} is` : `entries ${from} to ${to} are`;
        findings.push(finding("dropped", { seq: from, place, message: `${what} missing before this line` }));
      }
      return findings;
    },
  };
}
