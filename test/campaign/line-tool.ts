import { appendFile, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { defineTool, ToolRefusal, type Tool } from "../../src/tool.ts";

/** One line of the world: what ran, under which request's key. */
export interface Effect {
  readonly key: string;
  readonly text: string;
}

const ENVIRONMENTS: Readonly<Record<string, string>> = { free: "demo", held: "prod" };

/**
 * `write_line`: appends one line to a file that outlives every gateway, with the request's key in front, in one write. What
 * ran twice stands there twice. A text that holds `CANNOT_TELL` can't be asked about afterwards.
 */
export function writeLine(world: string): Tool {
  const has = async (key: string): Promise<boolean> =>
    (await effectsIn(world)).some((effect) => effect.key === key);
  return defineTool({
    name: "write_note",
    title: "Write a line",
    description: "Appends a line to the world.",
    input: z.strictObject({ book: z.string(), text: z.string().max(200) }),
    output: z.object({ text: z.string() }),
    plan: z.object({ book: z.string(), text: z.string() }),
    undo: z.object({}),
    effect: "write",
    idempotent: false,
    refusals: { unknown_book: "no such book is registered" },
    targets({ book }) {
      const environment = ENVIRONMENTS[book];
      if (environment === undefined) throw new ToolRefusal("unknown_book", `asked for ${book}`);
      return [{ kind: "book", id: book, environment }];
    },
    registration: ({ book }) => ({ book }),
    preview: ({ book, text }) =>
      Promise.resolve({
        plan: { book, text },
        guard: "none",
        expiresAt: null,
        view: {
          summary: `write ${text}`,
          verb: "WRITE",
          changes: [],
          counts: { lines: 1 },
          facts: {},
          warnings: [],
          documents: [],
          complete: true,
          reversible: "no",
          fidelity: "exact" as const,
        },
      }),
    guard: () => Promise.resolve("none"),
    async execute({ text }, ctx) {
      // As a backend that takes its time: dying before leaves nothing, dying after an effect without an outcome.
      await sleep(5);
      await appendFile(world, `${ctx.requestId} ${text}\n`);
      await sleep(10);
      return { output: { text } };
    },
    reconcile: async ({ text }, ctx) =>
      text.includes("CANNOT_TELL") ? "unknown" : (await has(ctx.requestId)) ? "done" : "not_done",
  });
}

/** Everything that ran, in order. */
export async function effectsIn(world: string): Promise<readonly Effect[]> {
  const text = await readFile(world, "utf8").catch(() => "");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [key = "", ...words] = line.split(" ");
      return { key, text: words.join(" ") };
    });
}
