import { decodeTime, ulid } from "ulid";

// Ids are ULIDs behind a prefix: unguessable (80 random bits from the system's generator) and sortable by time,
// which lets the store find an old request's entries by binary search instead of an index that grows.

export type RequestId = `req_${string}`;
export type GrantId = `grt_${string}`;
export type LeaseId = `lse_${string}`;
export type LogId = `log_${string}`;
export type BootId = `boot_${string}`;

type Prefix = "req" | "grt" | "lse" | "log" | "boot" | "inq";

const BODY = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** A new id, e.g. `req_01J…`. `at` is epoch milliseconds. */
export function newId<P extends Prefix>(prefix: P, at: number): `${P}_${string}` {
  return `${prefix}_${ulid(at)}`;
}

export function isId<P extends Prefix>(prefix: P, text: string): text is `${P}_${string}` {
  return text.startsWith(`${prefix}_`) && BODY.test(text.slice(prefix.length + 1));
}

/** Epoch milliseconds at which the id was made. */
export const idTime = (id: `${Prefix}_${string}`): number => decodeTime(id.slice(id.indexOf("_") + 1));
