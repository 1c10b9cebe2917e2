import { ulid } from "ulid";
import { pooledRandomBytes } from "./random-bytes.ts";

// Ids are ULIDs behind a prefix: unguessable (80 random bits from the system's generator) and sortable by time,
// which lets the store find an old request's entries by binary search instead of an index that grows.

export type RequestId = `req_${string}`;
export type GrantId = `grt_${string}`;
export type LeaseId = `lse_${string}`;
export type LogId = `log_${string}`;
export type BootId = `boot_${string}`;

type Prefix = "req" | "grt" | "lse" | "log" | "boot" | "inq";

/** Characters of an id that are random, five bits each. */
const RANDOM_CHARACTERS = 16;
const BODY = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** A new id, e.g. `req_01J…`. `at` is epoch milliseconds. */
export function newId<P extends Prefix>(prefix: P, at: number): `${P}_${string}` {
  // All at once: left to itself, ulid asks the system's generator anew for every character. It takes a fraction and uses
  // its five highest bits, which of a byte are uniform.
  const random = pooledRandomBytes(RANDOM_CHARACTERS);
  let next = 0;
  return `${prefix}_${ulid(at, () => (random[next++] as number) / 256)}`;
}

export function isId<P extends Prefix>(prefix: P, text: string): text is `${P}_${string}` {
  return text.startsWith(`${prefix}_`) && BODY.test(text.slice(prefix.length + 1));
}

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_CHARACTERS = 10;

/** Epoch milliseconds at which the id was made. */
export function idTime(id: `${Prefix}_${string}`): number {
  let time = 0;
  const start = id.indexOf("_") + 1;
  for (let i = start; i < start + TIME_CHARACTERS; i += 1) time = time * 32 + DIGITS.indexOf(id[i] as string);
  return time;
}
