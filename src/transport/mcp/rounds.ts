import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { canonicalBytes } from "../../base/canonical-json.ts";
import type { Caller } from "../../request/principal.ts";

// `input_required` rounds of 2026-07-28: a held call that lasts longer than one answer may, for clients without tasks.
//
//   N1. `requestState` is hostile input. It is AES-256-GCM under the home's `round` key, over principal, agent (with its act chain), tool,
//       arguments, ticket, round and end. What doesn't open for exactly this call is refused, and nothing runs.
//   N2. Replaying one is harmless, so none is kept: it can do nothing but wait on a request that exists, for the
//       request's own principal and agent, which the gate checks again. It never makes a request and never runs one.
//   N3. Clients stop at ten rounds. The last answer is the ticket (config/hold-times.ts).

/** A client sends the state back at once. One that does not can send the call again and is recognised. */
const STATE_LIFE_MS = 3_600_000;
const MAX_STATE_CHARS = 1_024;

/** The call that a state belongs to. Arguments as they came. */
export interface RoundCall {
  readonly caller: Caller;
  readonly tool: string;
  readonly arguments: unknown;
}

export interface Round {
  readonly ticket: string;
  /** 1 for the first. */
  readonly round: number;
}

export interface Rounds {
  /** A fronted server's own state, so that nobody but this caller brings it back, and only with this call. */
  sealOf(call: RoundCall, state: string): string;
  /** That state; null where it isn't one of ours for exactly this call, or is over. */
  openOf(call: RoundCall, state: string): string | null;
  seal(call: RoundCall, round: Round): string;
  /** The round that the state stands for; null where it isn't one of ours for exactly this call, or is over. */
  open(call: RoundCall, state: unknown): Round | null;
}

const CIPHER = "aes-256-gcm";
const VERSION = "cs1.";
const LABEL = "countersign.round.v1\n";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** States of fronted servers, which may be long. */
const FRONTED_VERSION = "cu1.";
const MAX_FRONTED_CHARS = 64 * 1024;

/** True for a state that belongs to a fronted server's questions. */
export const isFrontedState = (state: unknown): state is string =>
  typeof state === "string" && state.startsWith(FRONTED_VERSION);

/** `key` has 32 bytes; `now` gives epoch milliseconds. */
export function createRounds(key: Uint8Array, now: () => number): Rounds {
  const seal = (version: string, call: RoundCall, value: readonly (string | number)[]): string => {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, key, iv).setAAD(boundTo(version, call));
    const plain = JSON.stringify([...value, now() + STATE_LIFE_MS]);
    const sealed = Buffer.concat([iv, cipher.update(plain, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return version + sealed.toString("base64url");
  };
  const open = (
    version: string,
    most: number,
    call: RoundCall,
    state: unknown,
  ): readonly unknown[] | null => {
    if (typeof state !== "string" || state.length > most || !state.startsWith(version)) return null;
    const text = state.slice(version.length);
    const sealed = Buffer.from(text, "base64url");
    // One state, one spelling.
    if (sealed.length <= IV_BYTES + TAG_BYTES || sealed.toString("base64url") !== text) return null;
    try {
      const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(boundTo(version, call))
        .setAuthTag(sealed.subarray(-TAG_BYTES));
      const plain = Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
      const value = JSON.parse(plain.toString("utf8")) as unknown[];
      return now() <= (value.at(-1) as number) ? value : null;
    } catch {
      // Not ours, or of another call; or arguments that have no canonical bytes, which no state was ever made for.
      return null;
    }
  };
  return {
    seal: (call, { ticket, round }) => seal(VERSION, call, [ticket, round]),
    open(call, state) {
      const [ticket, round] = open(VERSION, MAX_STATE_CHARS, call, state) ?? [];
      return ticket === undefined ? null : { ticket: ticket as string, round: round as number };
    },
    sealOf: (call, state) => seal(FRONTED_VERSION, call, [state]),
    openOf: (call, state) =>
      (open(FRONTED_VERSION, MAX_FRONTED_CHARS, call, state)?.[0] as string | undefined) ?? null,
  };
}

/** Everything a state must not be moved away from (N1). */
function boundTo(version: string, { caller, tool, arguments: given }: RoundCall): Buffer {
  const { principal, acting } = caller;
  // All that a token says of who acts: through whom it acts is no less part of it than who acts now.
  const agent = acting === undefined ? caller.agent : { ...acting };
  return createHash("sha256")
    .update(LABEL)
    .update(version === VERSION ? "" : version)
    .update(canonicalBytes([{ ...principal }, agent, tool]))
    .update("\n")
    .update(canonicalBytes(given))
    .digest();
}
