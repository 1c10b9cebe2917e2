import type { PersonId } from "../request/principal.ts";

// Who is on call is a function of the policy and the time and of nothing else, so that whoever reads the log later
// finds the same person. No calendar, no time zone: turns of equal length, counted from one moment.

/** A group whose one member changes with time. */
export interface Rotation {
  /** In the order of their turns. */
  readonly people: readonly PersonId[];
  /** Length of a turn in milliseconds. */
  readonly everyMs: number;
  /** Epoch milliseconds at which the first turn begins. */
  readonly startsAt: number;
}

/**
 * Whose turn it is at `at`. The turn of somebody who is not `enabled` falls to the next who is; before the first turn
 * it is the first's. Null where nobody is enabled.
 */
export function onCallAt(
  { people, everyMs, startsAt }: Rotation,
  at: number,
  isEnabled: (person: PersonId) => boolean,
): PersonId | null {
  const turn = Math.max(0, Math.floor((at - startsAt) / everyMs));
  for (let i = 0; i < people.length; i += 1) {
    const person = people[(turn + i) % people.length]!;
    if (isEnabled(person)) return person;
  }
  return null;
}

/** End of the turn that `at` is in, epoch milliseconds. */
export function turnEndsAt({ everyMs, startsAt }: Rotation, at: number): number {
  return startsAt + (Math.max(0, Math.floor((at - startsAt) / everyMs)) + 1) * everyMs;
}

/** Everybody who is on call at some moment from `from` until `until`. */
export function onCallBetween(
  rotation: Rotation,
  from: number,
  until: number,
  isEnabled: (person: PersonId) => boolean,
): ReadonlySet<PersonId> {
  const found = new Set<PersonId>();
  // After as many turns as there are people, everybody had theirs.
  let at = from;
  for (let turns = 0; turns <= rotation.people.length && at <= until; turns += 1) {
    const person = onCallAt(rotation, at, isEnabled);
    if (person !== null) found.add(person);
    at = turnEndsAt(rotation, at);
  }
  return found;
}
