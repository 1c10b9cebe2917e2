import { setImmediate } from "node:timers/promises";
import { timestamp } from "../../base/clock.ts";
import { idTime, isId } from "../../base/id.ts";
import { CountersignError, isFault } from "../../errors.ts";
import {
  encodeDraft,
  encodeEntry,
  entryOf,
  type EncodedDraft,
  type EncodedLine,
  type EntryPlace,
} from "../../log/encode.ts";
import type { Entry, EntryDraft } from "../../log/entry.ts";
import { createGroupPreconditions } from "../preconditions.ts";
import {
  MOST_IDLE_MS,
  type AppendResult,
  type Batch,
  type Conflict,
  type FoldPort,
  type LogHead,
} from "../store.ts";
import type { CheckpointFile } from "./checkpoint-file.ts";
import { MAX_AHEAD_MS, type ClockGuard } from "./clock-guard.ts";
import type { Journal } from "./journal.ts";
import type { KeyRing } from "./key-ring.ts";
import type { DirectoryLock } from "./lock.ts";
import type { Cursor } from "./segments.ts";

// The commit queue of one process. A turn takes the directory's lock, takes in what others wrote, writes everything
// that waits as one group with one flush, applies it to the fold, and lets go.
//
//   Q1. Batches of a group are checked one after another, each against the log as those before it will leave it; a
//       batch that conflicts takes no part in the group and hinders none.
//   Q2. Nothing is answered before the group is flushed, conflicts included: they may rest on a batch of the group.
//   Q3. A fault that leaves doubt about the file closes the committer for good. A full disk does not.
//   Q4. A request's id is never younger than its first entry by more than 5 s: `entriesOf` relies on it.

export interface Committer {
  append(batch: Batch, onWritten?: () => void): Promise<AppendResult>;
  catchUp(): Promise<void>;
  head(): LogHead;
  /** Where the durable log ends. */
  cursor(): Cursor;
  follow(listener: (entries: readonly Entry[]) => void): () => void;
  /** Calls `look` when what is read, durable and folded are the same: between two groups. */
  atRest<T>(look: () => T): Promise<T>;
  /** Refuses new batches and waits for those that are under way. */
  close(): Promise<void>;
  /** The fault that closed it, if one did. */
  fault(): CountersignError | null;
}

export interface CommitterParts {
  readonly journal: Journal;
  readonly lock: DirectoryLock;
  readonly fold: FoldPort;
  readonly guard: ClockGuard;
  readonly checkpoint: CheckpointFile;
  readonly ring: KeyRing;
  /** Told once, when a fault closes the committer (Q3). */
  readonly onFault: (fault: CountersignError) => void;
}

interface Waiting {
  readonly batch: Batch;
  readonly drafts: readonly EncodedDraft[];
  readonly onWritten: (() => void) | undefined;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}
interface Planned {
  readonly waiting: Waiting;
  readonly lines: readonly EncodedLine[];
  readonly places: readonly EntryPlace[];
}
interface Refused {
  readonly waiting: Waiting;
  readonly answer: { readonly conflict: Conflict } | { readonly error: unknown };
}

/** Characters: a group stays well below what a page cache or a reader's memory would notice. */
const GROUP_SIZE = 4 * 1024 * 1024;

/** The commit queue over an opened journal whose entries the fold has seen. */
export function createCommitter(parts: CommitterParts): Committer {
  const { journal, lock, fold, guard, checkpoint, ring, onFault } = parts;
  let queue: Waiting[] = [];
  let readers: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  let turns: Promise<void> | null = null;
  let fault: CountersignError | null = null;
  let isClosing = false;
  /** Set while nobody waits for what is in the queue: it rides with the next batch, or goes alone when this fires. */
  let departure: NodeJS.Timeout | null = null;
  let mustDepart = false;
  const resting: (() => void)[] = [];
  const listeners = new Set<(entries: readonly Entry[]) => void>();

  let cursor = journal.cursor;
  let head: LogHead = { size: cursor.size, root: journal.rootDigest(), newestTime: cursor.time };
  /** Head, fold and the key in force change in one go: no checkpoint may pair one's head with another's key. */
  const advance = async (entries: readonly Entry[]): Promise<void> => {
    const switchKey = await ring.prepare(entries);
    switchKey();
    for (const entry of entries) fold.apply(entry);
    cursor = journal.cursor;
    head = { size: cursor.size, root: journal.rootDigest(), newestTime: cursor.time };
  };

  /** Takes in what other processes wrote, once it is durable (S3). */
  const readOthers = async (): Promise<Entry[]> => {
    const others: Entry[] = [];
    await journal.readOn((batch) => others.push(...batch.entries));
    await journal.cutTorn();
    if (others.length > 0) {
      await journal.settleRead();
      await advance(others);
    }
    return others;
  };

  /** Checks and encodes waiting batches in their order, up to a group's size (Q1). */
  const plan = (now: number): { planned: Planned[]; refused: Refused[] } => {
    const planned: Planned[] = [];
    const refused: Refused[] = [];
    const preconditions = createGroupPreconditions(fold, now);
    const time = timestamp(now);
    let seq = journal.cursor.size;
    let size = 0;
    let taken = 0;
    for (const waiting of queue) {
      if (size >= GROUP_SIZE) break;
      taken += 1;
      const conflict = preconditions.conflict(waiting.batch);
      if (conflict !== null) {
        refused.push({ waiting, answer: { conflict } });
        continue;
      }
      try {
        for (const { subject } of waiting.batch.entries) {
          if (fold.newest(subject) === null) refuseYoungId(subject, now);
        }
        const rotation = waiting.batch.entries.find(isRotation);
        if (rotation !== undefined) ring.check(rotation.data, seq);
        const last = waiting.drafts.length - 1;
        const places = waiting.drafts.map((_, i): EntryPlace => ({ seq: seq + i, time, more: last - i }));
        const lines = waiting.drafts.map((draft, i) => encodeEntry(draft, places[i] as EntryPlace));
        preconditions.accept(waiting.batch, seq);
        planned.push({ waiting, lines, places });
        seq += lines.length;
        for (const line of lines) size += line.head.length + line.data.length;
        // The old key signs for the rotation's own entry and for nothing after it: the group ends here.
        if (rotation !== undefined) break;
      } catch (error) {
        refused.push({ waiting, answer: { error } });
      }
    }
    queue = queue.slice(taken);
    return { planned, refused };
  };

  /** Writes one group; returns its entries and what to tell whom. */
  const commit = async (): Promise<{ own: Entry[]; answered: number; answer: () => void }> => {
    if (queue.length === 0) return { own: [], answered: 0, answer: () => undefined };
    const now = Math.max(guard.now(), journal.cursor.time);
    const { planned, refused } = plan(now);
    const own: Entry[] = [];
    let isWritten = false;
    try {
      const lines = planned.flatMap((each) => each.lines);
      if (lines.length > 0) {
        const { flushed } = journal.write(lines, now);
        isWritten = true;
        if (tellWritten(planned)) {
          // Awaited below; until then it is no unhandled rejection.
          flushed.catch(() => undefined);
          await setImmediate();
        }
        // While the disk is busy.
        const note = ring.signCheckpoint(journal.cursor.size, journal.rootDigest());
        for (const { waiting, places } of planned) {
          for (const [i, draft] of waiting.drafts.entries())
            own.push(entryOf(draft, places[i] as EntryPlace));
        }
        await flushed;
        checkpoint.write(note);
        await advance(own);
      }
    } catch (error) {
      let told = asFault(error);
      // Nobody was told of these bytes and nobody else can have read them: the lock is still ours.
      if (!isWritten) await journal.cutTorn().catch((cause: unknown) => (told = asFault(cause)));
      for (const { waiting } of [...planned, ...refused]) waiting.reject(told);
      throw told;
    }
    const answer = (): void => {
      let at = 0;
      for (const { waiting, lines } of planned) {
        waiting.resolve({ ok: true, entries: own.slice(at, at + lines.length) });
        at += lines.length;
      }
      for (const { waiting, answer: told } of refused) {
        if ("conflict" in told) waiting.resolve({ ok: false, conflict: told.conflict });
        else waiting.reject(told.error);
      }
    };
    return { own, answered: planned.length + refused.length, answer };
  };

  const deliver = (entries: readonly Entry[]): void => {
    if (entries.length === 0) return;
    for (const listener of listeners) {
      try {
        listener(entries);
      } catch (error) {
        // A listener's bug must neither undo the append nor keep the others from hearing of it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };

  /** True where it waited for the disk, and for one caller alone. */
  const turn = async (): Promise<boolean> => {
    const waitingReaders = readers;
    readers = [];
    let wasLone = false;
    try {
      if (!lock.tryAcquire()) await lock.acquire();
      let others: Entry[] = [];
      let group: Awaited<ReturnType<typeof commit>> | undefined;
      try {
        if (journal.isBehind()) others = await readOthers();
        group = await commit();
      } finally {
        lock.release();
        deliver(others);
      }
      deliver(group.own);
      for (const reader of waitingReaders) reader.resolve();
      wasLone = group.own.length > 0 && group.answered === 1;
      group.answer();
    } catch (error) {
      const isPassing = isFault(error, "STORE_FULL") || isFault(error, "ENTRY_FROM_FUTURE");
      if (!isPassing) {
        fault = asFault(error);
        onFault(fault);
      }
      // Nobody in the queue can be served by a disk that is full or a clock that is wrong; they may ask again.
      for (const waiting of queue.splice(0)) waiting.reject(isPassing ? error : closed());
      for (const reader of waitingReaders) {
        if (isPassing) reader.resolve();
        else reader.reject(fault);
      }
    }
    for (const look of resting.splice(0)) look();
    return wasLone;
  };

  const run = (): void => {
    turns ??= (async () => {
      // Callers that append in one go share the first turn, and those that the last turn answered share the next.
      await Promise.resolve();
      while (isDue()) {
        clearTimeout(departure ?? undefined);
        departure = null;
        mustDepart = false;
        // A lone caller need not wait for others to share its next turn, and other work had its time during the flush.
        if (!(await turn())) await setImmediate();
      }
      turns = null;
      if (queue.length > 0) departure ??= setTimeout(depart, MOST_IDLE_MS);
    })();
  };
  const isDue = (): boolean =>
    readers.length > 0 ||
    (queue.length > 0 && (mustDepart || isClosing || queue.some(({ batch }) => batch.rides !== true)));
  const depart = (): void => {
    departure = null;
    mustDepart = true;
    run();
  };

  const closed = (): CountersignError =>
    new CountersignError(
      "STORE_CLOSED",
      fault === null ? "the store is closed" : `the store closed itself: ${fault.message}`,
      {
        ...(fault?.hint === undefined ? {} : { hint: fault.hint }),
        ...(fault === null ? {} : { cause: fault }),
      },
    );

  return {
    append(batch, onWritten) {
      if (fault !== null || isClosing) return Promise.reject(closed());
      return new Promise((resolve, reject) => {
        // Encoded here and not under the lock: the flush before ours is under way meanwhile.
        queue.push({ batch, drafts: batch.entries.map(encodeDraft), onWritten, resolve, reject });
        run();
      });
    },
    catchUp() {
      if (fault !== null) return Promise.reject(fault);
      if (isClosing || !journal.isBehind()) return Promise.resolve();
      return new Promise((resolve, reject) => {
        readers.push({ resolve, reject });
        run();
      });
    },
    head: () => head,
    cursor: () => cursor,
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    atRest: (look) =>
      new Promise((resolve, reject) => {
        const tryLook = (): void => {
          if (fault !== null) return reject(closed());
          try {
            resolve(look());
          } catch (error) {
            reject(error);
          }
        };
        if (fault !== null || journal.cursor.size === cursor.size) tryLook();
        else resting.push(tryLook);
      }),
    async close() {
      isClosing = true;
      run();
      await turns;
    },
    fault: () => fault,
  };
}

/** True where somebody began something then: that waits for others, and goes on before what waits for the disk only. */
function tellWritten(planned: readonly Planned[]): boolean {
  let isTold = false;
  for (const { waiting } of planned) {
    waiting.onWritten?.();
    isTold ||= waiting.onWritten !== undefined;
  }
  return isTold;
}

const isRotation = (draft: EntryDraft): draft is EntryDraft<"log.key_rotated"> =>
  draft.kind === "log.key_rotated";

/** Q4. An id from the future would hide its request from `entriesOf`. */
function refuseYoungId(subject: string, now: number): void {
  if (!isId("req", subject)) return;
  const ahead = idTime(subject) - now;
  if (ahead <= MAX_AHEAD_MS) return;
  throw new CountersignError(
    "ENTRY_FROM_FUTURE",
    `${subject} was made ${Math.round(ahead / 1_000)}s in the future`,
    {
      hint: "the clock was set back since; ask again",
    },
  );
}

const asFault = (error: unknown): CountersignError =>
  isFault(error)
    ? error
    : new CountersignError("STORE_CLOSED", "the store cannot use its log any more and has closed itself", {
        hint: "check the disk, then start again",
        cause: error,
      });
