import { randomBytes, timingSafeEqual } from "node:crypto";
import { digestBytes, type Digest } from "../base/digest.ts";
import type { LogId } from "../base/id.ts";
import type { PersonId } from "../request/principal.ts";

// `ben.7K2M-9QXD-4T6P-WZ3A`: whose it is, and 80 random bits. The log holds a digest only, which whoever reads the log
// can't turn back; the name in front lets wrong tries be counted against one invitation.

const ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
const SECRET_CHARS = 16;

export interface InvitationCode {
  readonly person: PersonId;
  readonly secret: string;
}

/** A new code; it is shown once. */
export function newInvitationCode(person: PersonId): InvitationCode {
  const secret = [...randomBytes(SECRET_CHARS)].map((byte) => ALPHABET[byte & 31]).join("");
  return { person, secret };
}

/** As people read and type it. */
export const formatInvitationCode = ({ person, secret }: InvitationCode): string =>
  `${person}.${secret.replace(/(.{4})(?=.)/g, "$1-")}`;

/** A code as somebody typed it: case, spaces and dashes don't matter. Null for what can't be one. */
export function parseInvitationCode(text: string): InvitationCode | null {
  const typed = /^\s*([A-Za-z0-9][A-Za-z0-9._@-]{0,79})\.([0-9A-Za-z\s-]{16,60})\s*$/.exec(text);
  if (typed === null) return null;
  const secret = (typed[2] ?? "").replace(/[\s-]/g, "").toUpperCase();
  const isCode = secret.length === SECRET_CHARS && [...secret].every((char) => ALPHABET.includes(char));
  return isCode ? { person: typed[1] ?? "", secret } : null;
}

/** What the log keeps of a code. */
export const invitationDigest = (log: LogId, { person, secret }: InvitationCode): Digest =>
  digestBytes("invitation", new TextEncoder().encode(`${log}\n${person}\n${secret}`));

/** Under which wrong tries are counted: the person and the first group of the secret. */
export const beginningDigest = (log: LogId, { person, secret }: InvitationCode): Digest =>
  digestBytes("invitation", new TextEncoder().encode(`${log}\n${person}\n${secret.slice(0, 4)}`));

/** Compares two digests in a time that says nothing of them. */
export const sameDigest = (a: Digest, b: Digest): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
