import * as z from "zod";
import { isId, type RequestId } from "../../base/id.ts";
import { decodeEntry } from "../../log/encode.ts";
import type { Entry } from "../../log/entry.ts";
import type { RequestSummary } from "../../request/summary.ts";
import type { Store } from "../../store/store.ts";
import { actorName, mayUse, type Actor } from "./actor.ts";
import { problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

// What happens, as it happens: server-sent events from the durable log (WHATWG HTML §9.2).
//
//   E1. An event is a hint to look, never the thing itself: it says which request moved and to where, and holds nothing
//       that an agent or backend wrote.
//   E2. The id of an event is the number of its entry, so `Last-Event-ID` misses nothing; who was away too long is told
//       to look at everything again.
//   E3. A listener that does not read is let go when its buffer is full, never waited for; it comes back with its id.
//   E4. A session that was revoked, or a token whose time is over, gets no further event and its stream ends.
//   E5. Nobody takes all the room: a person has a few streams, a program at most half of all.

export interface EventsParts {
  readonly store: Pick<Store, "follow" | "lines" | "head" | "catchUp">;
  phaseOf(request: RequestId): Pick<RequestSummary, "phase" | "code"> | null;
  stands(actor: Actor, cookie: string | undefined): boolean;
  readonly heartbeatMs: number;
}

export interface Events {
  /** One stream. Null where there are too many already, of all or of this actor (E5). */
  open(actor: Actor, cookie: string | undefined, lastId: number | null): ReadableStream<Uint8Array> | null;
  readonly listening: number;
  close(): void;
}

const MOST_LISTENERS = 2_500;
/** A browser keeps six connections to a host; this is several browsers of one person. */
const MOST_OF_PERSON = 48;
const MOST_OF_TOKEN = MOST_LISTENERS / 2;
/** Entries that are read for somebody who comes back; beyond it they have to look at everything. */
const MOST_MISSED = 5_000;
/** Events that wait for a listener who does not read. */
const MOST_WAITING = 256;

interface Listener {
  readonly actor: Actor;
  readonly cookie: string | undefined;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** While it is told what it missed, live events are kept. */
  kept: Event[] | null;
  lastSeq: number;
}

interface Event {
  readonly seq: number;
  readonly topic: "request" | "policy" | "people";
  readonly bytes: Uint8Array;
}

export function createEvents(parts: EventsParts): Events {
  const listeners = new Set<Listener>();
  const countByActor = new Map<string, number>();
  const encoder = new TextEncoder();
  const write = (text: string): Uint8Array => encoder.encode(text);
  const HEARTBEAT = write(": still here\n\n");

  /** One event a request and batch: the newest. */
  const eventsOf = (entries: readonly Entry[]): readonly Event[] => {
    const newest = new Map<string, Entry>();
    for (const entry of entries) {
      const topic = topicOf(entry);
      if (topic === null) continue;
      const key = topic === "request" ? entry.subject : topic;
      newest.delete(key);
      newest.set(key, entry);
    }
    return [...newest.values()].map((entry) => {
      const topic = topicOf(entry) as Event["topic"];
      const data =
        topic === "request" && isId("req", entry.subject)
          ? {
              id: entry.subject,
              phase: parts.phaseOf(entry.subject)?.phase ?? null,
              seq: entry.seq,
              code: parts.phaseOf(entry.subject)?.code ?? null,
            }
          : { seq: entry.seq };
      const text = `id: ${entry.seq}\nevent: ${topic}\ndata: ${JSON.stringify(data)}\n\n`;
      return { seq: entry.seq, topic, bytes: write(text) };
    });
  };

  const end = (listener: Listener): void => {
    if (!listeners.delete(listener)) return;
    const name = actorName(listener.actor);
    const left = (countByActor.get(name) ?? 1) - 1;
    if (left === 0) countByActor.delete(name);
    else countByActor.set(name, left);
    try {
      listener.controller.close();
    } catch {
      // Its reader has gone already.
    }
    if (listeners.size === 0) stopFollowing();
  };

  const send = (listener: Listener, bytes: Uint8Array): void => {
    // Negative: so many chunks wait beyond the first (E3).
    if ((listener.controller.desiredSize ?? -MOST_WAITING) <= -MOST_WAITING) end(listener);
    else listener.controller.enqueue(bytes);
  };

  const tell = (listener: Listener, events: readonly Event[]): void => {
    for (const event of events) {
      if (!listeners.has(listener)) return;
      if (event.seq <= listener.lastSeq || !mayUse(listener.actor, SCOPE_OF[event.topic])) continue;
      listener.lastSeq = event.seq;
      send(listener, event.bytes);
    }
  };

  const onEntries = (entries: readonly Entry[]): void => {
    const events = eventsOf(entries);
    if (events.length === 0) return;
    for (const listener of listeners) {
      if (!parts.stands(listener.actor, listener.cookie)) end(listener);
      else if (listener.kept === null) tell(listener, events);
      else if (listener.kept.push(...events) > MOST_WAITING) end(listener);
    }
  };

  let unfollow: (() => void) | null = null;
  let beat: NodeJS.Timeout | null = null;
  const startFollowing = (): void => {
    unfollow ??= parts.store.follow(onEntries);
    beat ??= setInterval(() => {
      for (const listener of listeners) {
        if (parts.stands(listener.actor, listener.cookie)) send(listener, HEARTBEAT);
        else end(listener);
      }
    }, parts.heartbeatMs);
    beat.unref();
  };
  const stopFollowing = (): void => {
    unfollow?.();
    unfollow = null;
    if (beat !== null) clearInterval(beat);
    beat = null;
  };

  /** What was missed since `from`, then what happened meanwhile, then live. */
  const resume = async (listener: Listener, from: number | null): Promise<void> => {
    await parts.store.catchUp();
    const { size } = parts.store.head();
    const missed = from === null ? 0 : size - 1 - from;
    const isReset = from !== null && (missed < 0 || missed > MOST_MISSED);
    send(
      listener,
      // Three seconds until a browser comes back, and each a little later than the one before, so that not all come at once.
      write(
        `retry: ${3_000 + ((listeners.size * 37) % 2_000)}\nevent: hello\nid: ${isReset || from === null ? size - 1 : from}\ndata: ${JSON.stringify({ size, reset: isReset })}\n\n`,
      ),
    );
    const entries: Entry[] = [];
    if (missed > 0 && !isReset && from !== null) {
      for await (const { seq, bytes } of parts.store.lines(from + 1)) {
        if (seq >= size) break;
        const decoded = decodeEntry(Buffer.from(bytes).toString("utf8"), seq);
        if (decoded.ok) entries.push(decoded.value);
      }
    }
    tell(listener, eventsOf(entries));
    listener.lastSeq = Math.max(listener.lastSeq, size - 1);
    const kept = listener.kept ?? [];
    listener.kept = null;
    tell(listener, kept);
  };

  return {
    open(actor, cookie, lastId) {
      const name = actorName(actor);
      const own = countByActor.get(name) ?? 0;
      const most = actor.kind === "session" ? MOST_OF_PERSON : MOST_OF_TOKEN;
      if (listeners.size >= MOST_LISTENERS || own >= most) return null;
      let listener: Listener | null = null;
      return new ReadableStream<Uint8Array>({
        start(controller) {
          listener = { actor, cookie, controller, kept: [], lastSeq: -1 };
          listeners.add(listener);
          countByActor.set(name, own + 1);
          startFollowing();
          const mine = listener;
          resume(mine, lastId).catch(() => end(mine));
        },
        cancel() {
          if (listener !== null) end(listener);
        },
      });
    },
    get listening() {
      return listeners.size;
    },
    close() {
      for (const listener of [...listeners]) end(listener);
      stopFollowing();
    },
  };
}

const SCOPE_OF = { request: "requests:read", policy: "policy:read", people: "people:read" } as const;

function topicOf({ kind, subject }: Entry): Event["topic"] | null {
  if (isId("req", subject)) return "request";
  if (kind.startsWith("policy.")) return "policy";
  return kind.startsWith("credential.") ? "people" : null;
}

export const eventRoute = (events: Events): Route =>
  defineRoute({
    method: "GET",
    path: "/events",
    id: "listen",
    tag: "gateway",
    summary: "What happens, as it happens: server-sent events.",
    description:
      "`hello` comes first, with `reset: true` where too much was missed and everything has to be looked at again. `request` has the request's id, phase, code and the entry's number; `policy` and `people` say that something changed there. The id of an event is the number of its entry: send it as `Last-Event-ID` to go on.",
    scope: "requests:read",
    answers: {
      200: {
        description: "A stream without end.",
        schema: z.string(),
        media: "text/event-stream",
      },
    },
    problems: ["too_many"],
    handle({ actor, header }) {
      const given = header("last-event-id");
      const lastId = given !== undefined && /^\d{1,15}$/.test(given) ? Number(given) : null;
      const stream = events.open(actor, header("cookie"), lastId);
      if (stream === null)
        return Promise.resolve({ refused: problem("too_many", "too many listen to events already") });
      return Promise.resolve(
        new Response(stream, {
          headers: {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
          },
        }),
      );
    },
  });
