import * as z from "zod";
import { linesBackwards } from "../../log/backwards.ts";
import { decodeEntry } from "../../log/encode.ts";
import { ENTRY_KINDS, type Entry } from "../../log/entry.ts";
import { CountersignError } from "../../errors.ts";
import type { RouteParts } from "./api-routes.ts";
import { countOf, digest, entry } from "./documents.ts";
import { problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import { verification } from "./verification.ts";

// The log, newest first. There is no index: a search reads backwards, so many entries a call and no more, and says
// where it stopped.

/** Entries that one call looks at. */
const MOST_ENTRIES = 20_000;
/** Bytes of entries that one answer holds. */
const MOST_BYTES = 1024 * 1024;

const KINDS: ReadonlySet<string> = new Set(ENTRY_KINDS);

const query = z.strictObject({
  before: z.coerce
    .number()
    .int()
    .nonnegative()
    .optional()
    .describe("Only entries below this number: `next` of the page before."),
  limit: countOf(500, 50),
  kind: z
    .string()
    .refine((text) => text.split(",").every((kind) => KINDS.has(kind)), "there is no such kind of entry")
    .optional()
    .describe("Comma-separated kinds, such as `decision.recorded,consent.settled`."),
  subject: z.string().min(1).max(128).optional().describe("A request's id, `policy`, `log`, …"),
  q: z.string().min(1).max(200).optional().describe("Words that the entry's line has, in any case."),
});

export function logRoutes(parts: RouteParts): readonly Route[] {
  const { store } = parts.home;
  return [
    defineRoute({
      method: "GET",
      path: "/log",
      id: "searchLog",
      tag: "log",
      summary: "Entries of the decision log, newest first.",
      description: `A call looks at ${MOST_ENTRIES} entries at most. \`truncated: true\` says that it stopped there; \`next\` as \`before\` goes on.`,
      scope: "log:read",
      query,
      answers: {
        200: {
          description: "One page.",
          schema: z.strictObject({
            entries: z.array(entry),
            size: z.number().int().describe("Entries of the log when this was answered."),
            next: z.number().int().nullable(),
            truncated: z.boolean(),
          }),
        },
      },
      problems: [],
      async handle({ query: wish, signal }) {
        await store.catchUp();
        const { size } = store.head();
        const fits = filterOf(wish);
        const entries: Entry[] = [];
        let bytesTaken = 0;
        let looked = Math.min(wish.before ?? size, size);
        const limit = wish.limit;
        for await (const { seq, bytes } of linesBackwards(store, looked, MOST_ENTRIES)) {
          if (signal.aborted) break;
          looked = seq;
          const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
          const found = fits(line, seq);
          if (found === null) continue;
          entries.push(found);
          bytesTaken += line.length;
          if (entries.length >= limit || bytesTaken >= MOST_BYTES) break;
        }
        const isEnd = looked === 0;
        const isFull = entries.length >= limit || bytesTaken >= MOST_BYTES;
        return {
          document: { entries, size, next: isEnd ? null : looked, truncated: !isEnd && !isFull },
        };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/log/checkpoint",
      id: "getCheckpoint",
      tag: "log",
      summary: "The newest signed size and root. Keep it elsewhere.",
      scope: "log:read",
      answers: {
        200: {
          description: "A C2SP signed note, and what it says.",
          schema: z.strictObject({
            log: z.string(),
            checkpoint: z.string(),
            size: z.number().int(),
            root: digest,
          }),
        },
      },
      problems: [],
      async handle() {
        await store.catchUp();
        const { size, root } = store.head();
        return { document: { log: store.logId, checkpoint: await store.checkpoint(), size, root } };
      },
    }),

    defineRoute({
      method: "GET",
      path: "/log/verification",
      id: "getVerification",
      tag: "log",
      summary: "How far the gateway itself has verified the log, in the background.",
      description:
        "What a gateway says about its own log proves nothing to somebody who doubts the gateway: verify a checkpoint that you kept, with `countersign log verify`.",
      scope: "log:read",
      answers: { 200: { description: "The newest look.", schema: verification } },
      problems: ["not_served"],
      handle: () =>
        Promise.resolve(
          parts.verification === undefined
            ? { refused: problem("not_served", "this gateway does not verify in the background") }
            : { document: parts.verification() },
        ),
    }),
  ];
}

type Wish = z.output<typeof query>;

/** The entry of a line if it is asked for. Lines are decoded only where their bytes may fit. */
function filterOf(wish: Wish): (line: Buffer, seq: number) => Entry | null {
  const kinds = wish.kind?.split(",") ?? [];
  const kindNeedles = kinds.map((kind) => Buffer.from(`"kind":"${kind}"`));
  // As it stands in a line: quotes and backslashes escaped.
  const subject =
    wish.subject === undefined ? null : Buffer.from(`"subject":${JSON.stringify(wish.subject)}`);
  const words = wish.q === undefined ? null : JSON.stringify(wish.q).slice(1, -1).toLowerCase();
  return (line, seq) => {
    if (kindNeedles.length > 0 && !kindNeedles.some((needle) => line.includes(needle))) return null;
    if (subject !== null && !line.includes(subject)) return null;
    const text = line.toString("utf8");
    if (words !== null && !text.toLowerCase().includes(words)) return null;
    const decoded = decodeEntry(text, seq);
    if (!decoded.ok) throw new CountersignError("LOG_CORRUPT", `entry ${seq}: ${decoded.error}`);
    const found = decoded.value;
    // A needle may have been found in what somebody wrote; the entry itself says what it is.
    if (kinds.length > 0 && !kinds.includes(found.kind)) return null;
    return wish.subject !== undefined && found.subject !== wish.subject ? null : found;
  };
}
