import { flat } from "../base/packed-json.ts";
import { CountersignError } from "../errors.ts";
import type { FoldPort } from "../store/store.ts";
import { ENTRY_KINDS, type Entry } from "./entry.ts";

// The fold: state = reducers applied to the entries, in order. Nothing else changes state.
//
//   F1. An unknown entry kind or version stops the process: acting on half-understood state is worse than not acting.
//   F2. A gap or a repeat in `seq` stops it too; a store that delivers one is broken.
//   F3. A closed subject leaves memory; its newest entries stay reachable through the store.

/** The part of the state that one noun owns. `apply` may mutate; the state is this reducer's own. */
export interface Reducer<S> {
  init(): S;
  /** `at`: the entry's time in epoch milliseconds, read once for all reducers. */
  apply(state: S, entry: Entry, at: number): void;
  /** Whether the subject is still open after the entry was applied; undefined: not this reducer's subject. Nobody's: closed. */
  isOpen?(state: S, subject: string): boolean | undefined;
  /** What is saved. It becomes text while further entries are applied, so they must change nothing of it. */
  toJSON(state: S): unknown;
  fromJSON(json: never): S;
}

type StatesOf<R> = { readonly [K in keyof R]: R[K] extends Reducer<infer S> ? S : never };

export interface Fold<R> extends FoldPort {
  readonly state: StatesOf<R>;
  /** Time of the newest entry, epoch milliseconds. */
  readonly newestTime: number;
}

/** How many closed subjects and free-at-a-time keys are remembered, and at most FORGET_EVERY entries' more. */
const RECENT = 20_000;
const FORGET_EVERY = 4_096;
const SNAPSHOT_VERSION = 6;
const KNOWN: ReadonlySet<string> = new Set(ENTRY_KINDS);

export function createFold<R extends Readonly<Record<string, Reducer<unknown>>>>(reducers: R): Fold<R> {
  const names = Object.keys(reducers);
  const reducer = (name: string): Reducer<unknown> => reducers[name] as Reducer<unknown>;
  const state: Record<string, unknown> = {};
  for (const name of names) state[name] = reducer(name).init();
  let size = 0;
  let newestTime = 0;
  /** The text of `newestTime`: entries of one group have the same. */
  let newestText = "";
  const open = new Map<string, number>();
  const closed = new Set<string>();
  /** The subject alone where it holds the key for as long as it is open. */
  const keys = new Map<string, string | { readonly subject: string; readonly until: number }>();

  const isOpen = (subject: string): boolean => {
    for (const name of names) {
      const answer = reducer(name).isOpen?.(state[name], subject);
      if (answer !== undefined) return answer;
    }
    return false;
  };
  // Maps keep a hole where their oldest member was deleted until they are next rebuilt, so forgetting one per entry would
  // walk over all the holes each time. Every process forgets at the same entries: they must refuse the same appends.
  const forget = (): void => {
    for (const subject of closed) {
      if (closed.size <= RECENT) break;
      closed.delete(subject);
    }
    const most = RECENT + open.size * 2;
    for (const [key, hold] of keys) {
      if (typeof hold !== "string" && (hold.until <= newestTime || keys.size > most)) keys.delete(key);
    }
  };
  const holdKeys = (entry: Entry): void => {
    if (entry.keys === undefined) return;
    for (const { key, until } of entry.keys) {
      keys.delete(key);
      keys.set(flat(key), until === null ? entry.subject : { subject: entry.subject, until });
    }
  };

  return {
    state: state as StatesOf<R>,
    get size() {
      return size;
    },
    get newestTime() {
      return newestTime;
    },
    apply(entry) {
      if (entry.v !== 1 || !KNOWN.has(entry.kind)) {
        throw new CountersignError(
          "LOG_UNKNOWN_ENTRY",
          `entry ${entry.seq} is a "${String(entry.kind)}" of version ${String(entry.v)}`,
          { hint: "a newer countersign wrote it; run at least that version on this home" },
        );
      }
      if (entry.seq !== size) {
        throw new CountersignError("LOG_CORRUPT", `entry ${entry.seq} came where ${size} was due`);
      }
      if (entry.time !== newestText) {
        newestText = entry.time;
        newestTime = Date.parse(entry.time);
      }
      for (const name of names) reducer(name).apply(state[name], entry, newestTime);
      size += 1;
      if (isOpen(entry.subject)) open.set(entry.subject, entry.seq);
      else {
        open.delete(entry.subject);
        closed.add(entry.subject);
      }
      holdKeys(entry);
      if (size % FORGET_EVERY === 0) forget();
    },
    newest: (subject) => open.get(subject) ?? null,
    isClosed: (subject) => closed.has(subject),
    holder(key, now) {
      const hold = keys.get(key);
      if (hold === undefined || typeof hold === "string") return hold ?? null;
      return hold.until > now ? hold.subject : null;
    },
    snapshot: () => ({
      v: SNAPSHOT_VERSION,
      size,
      newestTime,
      // Flat, two and three in a row: parsing twenty thousand small arrays takes four times as long.
      open: [...open].flat(),
      closed: [...closed],
      keys: [...keys].flatMap(([key, hold]) =>
        typeof hold === "string" ? [key, hold, null] : [key, hold.subject, hold.until],
      ),
      state: Object.fromEntries(names.map((name) => [name, reducer(name).toJSON(state[name])])),
    }),
    restore(snapshot) {
      const from = snapshot as {
        v: number;
        size: number;
        newestTime: number;
        open: (string | number)[];
        closed: string[];
        keys: (string | number | null)[];
        state: Record<string, unknown>;
      };
      if (from.v !== SNAPSHOT_VERSION) throw new Error(`snapshot version ${String(from.v)}`);
      // All or nothing: what can't be read whole is replayed, onto a fold that has seen nothing.
      const restored = names.map((name) => reducer(name).fromJSON(from.state[name] as never));
      for (const [i, name] of names.entries()) state[name] = restored[i];
      size = from.size;
      newestTime = from.newestTime;
      newestText = "";
      open.clear();
      closed.clear();
      keys.clear();
      for (let i = 0; i < from.open.length; i += 2)
        open.set(from.open[i] as string, from.open[i + 1] as number);
      for (const subject of from.closed) closed.add(subject);
      const held = from.keys;
      for (let i = 0; i < held.length; i += 3) {
        // By index: a process that opens a home runs this once, uncompiled, where taking arrays apart is slow.
        const subject = held[i + 1] as string;
        const until = held[i + 2] as number | null;
        keys.set(held[i] as string, until === null ? subject : { subject, until });
      }
    },
  };
}
