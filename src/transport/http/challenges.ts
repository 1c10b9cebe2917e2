import { randomBytes } from "node:crypto";

/** A challenge is answered within this. */
export const CHALLENGE_LIFE_MS = 5 * 60_000;
const MOST_CHALLENGES = 2_000;

/** Challenges that we made: each is answered once, for what it was made for, in its time. */
export interface Challenges<T> {
  issue(about: T): Uint8Array<ArrayBuffer>;
  /** What the challenge (base64url) was made for; null where it is not ours, was answered, or is over. */
  take(challenge: string): T | null;
}

/** `monotonic` in milliseconds. */
export function createChallenges<T>(monotonic: () => number): Challenges<T> {
  const open = new Map<string, { readonly about: T; readonly until: number }>();
  return {
    issue(about) {
      const now = monotonic();
      for (const [challenge, { until }] of open) {
        if (until > now && open.size < MOST_CHALLENGES) break;
        open.delete(challenge);
      }
      const bytes = new Uint8Array(randomBytes(32));
      open.set(Buffer.from(bytes).toString("base64url"), { about, until: now + CHALLENGE_LIFE_MS });
      return bytes;
    },
    take(challenge) {
      const found = open.get(challenge);
      open.delete(challenge);
      return found !== undefined && found.until > monotonic() ? found.about : null;
    },
  };
}
