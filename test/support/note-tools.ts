import { createHash } from "node:crypto";
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { defineTool, NoEffect, ToolRefusal, type Tool } from "../../src/tool.ts";

// Small real tools over a directory, for tests of the spine: they act on files, have a guard, and can be made to hang,
// fail or die at the worst moment.

export interface NoteWorld {
  readonly dir: string;
  /** Every run of `execute`, in order: what the world saw. */
  readonly runs: string[];
  /** Called inside `execute`, before and after the effect. */
  before?: () => Promise<void> | void;
  after?: () => Promise<void> | void;
}

const sha = (text: string): string => createHash("sha256").update(text).digest("hex");
const read = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "");

const refusals = { unknown_book: "no such book is registered", unreadable: "the book cannot be read" };
const name = z.string().regex(/^[a-z]{1,20}$/);

/** `write_note`: puts a text into a registered book; `environment` comes from the registry. */
export function writeNote(world: NoteWorld, books: Readonly<Record<string, { environment: string }>>): Tool {
  const file = (book: string): string => join(world.dir, book);
  return defineTool({
    name: "write_note",
    title: "Write a note",
    description: "Puts a text into a book.",
    input: z.strictObject({ book: name, text: z.string().max(10_000), loud: z.boolean().default(false) }),
    output: z.object({ book: z.string(), bytes: z.number() }),
    plan: z.object({ book: z.string(), text: z.string(), before: z.string() }),
    undo: z.object({ book: z.string(), before: z.string() }),
    effect: "write",
    idempotent: false,
    refusals,
    targets({ book }) {
      const registered = books[book];
      if (registered === undefined) throw new ToolRefusal("unknown_book", `asked for ${book}`);
      return [{ kind: "book", id: book, environment: registered.environment }];
    },
    registration: ({ book }) => ({ book, ...books[book] }),
    async preview({ book, text, loud }) {
      if (text.includes("PREVIEW_FAILS")) throw new ToolRefusal("unreadable", "secret backend words");
      const before = await read(file(book));
      return {
        plan: { book, text: loud ? text.toUpperCase() : text, before: sha(before) },
        guard: sha(before),
        expiresAt: null,
        files: [{ name: "text.txt", type: "text/plain", bytes: new TextEncoder().encode(text) }],
        view: {
          summary: `write ${text.length} characters into ${book}`,
          verb: "WRITE",
          changes: [{ op: "update", resource: `book ${book}`, before: sha(before).slice(0, 8), after: null }],
          counts: { characters: text.length },
          facts: {},
          warnings: [],
          documents: [{ title: "the note", kind: "text", body: text }],
          complete: !text.includes("INCOMPLETE"),
          reversible: "the old text comes back",
          fidelity: "exact",
        },
      };
    },
    guard: async ({ book }) => sha(await read(file(book))),
    async execute(plan, ctx) {
      world.runs.push(plan.book);
      await world.before?.();
      if (plan.text.includes("NO_EFFECT")) throw new NoEffect("refused_by_backend", "the book is locked");
      const before = await read(file(plan.book));
      if (sha(before) !== plan.before) throw new NoEffect("moved", "the book moved");
      await ctx.file("text.txt");
      await writeFile(file(plan.book), plan.text);
      await world.after?.();
      if (plan.text.includes("LOST_REPLY")) throw new Error("connection reset");
      return { output: { book: plan.book, bytes: plan.text.length }, undo: { book: plan.book, before } };
    },
    async revoke({ book, before }) {
      await writeFile(file(book), before);
    },
    async reconcile(plan) {
      if (plan.text.includes("CANNOT_TELL")) return "unknown";
      return (await read(file(plan.book))) === plan.text ? "done" : "not_done";
    },
  });
}

/** `open_door`: leaves a key file that countersign itself has to remove when the time is up (X3). */
export function openDoor(world: NoteWorld): Tool {
  const file = (door: string): string => join(world.dir, `door-${door}`);
  return defineTool({
    name: "open_door",
    title: "Open a door for a while",
    description: "Opens a door and closes it again.",
    input: z.strictObject({ door: name, ms: z.number().int().positive().max(60_000) }),
    output: z.object({ door: z.string() }),
    plan: z.object({ door: z.string() }),
    undo: z.object({ door: z.string() }),
    effect: "privilege",
    idempotent: true,
    refusals,
    targets: ({ door }) => [{ kind: "door", id: door, environment: "demo" }],
    async preview({ door, ms }) {
      return {
        plan: { door },
        guard: `door ${door}`,
        expiresAt: null,
        lease: { undo: { door }, durationMs: ms, endsBy: "countersign" as const },
        view: {
          summary: `open ${door} for ${ms} ms`,
          verb: "OPEN",
          changes: [{ op: "grant" as const, resource: `door ${door}`, before: null, after: "open" }],
          counts: { doors: 1 },
          facts: {},
          warnings: [],
          documents: [],
          complete: true,
          reversible: "it is closed again by itself",
          fidelity: "exact" as const,
        },
      };
    },
    guard: async ({ door }) => `door ${door}`,
    async execute({ door }) {
      world.runs.push(`open ${door}`);
      await writeFile(file(door), "open");
      await world.after?.();
      return { output: { door }, undo: { door } };
    },
    async revoke({ door }) {
      world.runs.push(`close ${door}`);
      await world.before?.();
      await rm(file(door), { force: true });
    },
  });
}

/** `read_note`: a read whose plan is its arguments. */
export function readNote(world: NoteWorld): Tool {
  return defineTool({
    name: "read_note",
    title: "Read a note",
    description: "Gives the text of a book.",
    input: z.strictObject({ book: name }),
    output: z.object({ text: z.string() }),
    plan: z.strictObject({ book: name }),
    effect: "read",
    idempotent: true,
    refusals,
    targets: ({ book }) => [{ kind: "book", id: book, environment: "demo" }],
    preview: () => Promise.reject(new Error("an allowed read is not previewed")),
    guard: () => Promise.resolve("read"),
    execute: async ({ book }) => ({ output: { text: await read(join(world.dir, book)) } }),
  });
}

/** `read_slowly`: a read that says in `effects` that it ran, and then does what the test says. */
export function readSlowly(dir: string, then: () => Promise<unknown>): Tool {
  return defineTool({
    name: "read_slowly",
    title: "Read slowly",
    description: "Takes its time.",
    input: z.strictObject({ book: name }),
    output: z.object({}),
    plan: z.strictObject({ book: name }),
    effect: "read",
    idempotent: true,
    refusals,
    targets: ({ book }) => [{ kind: "book", id: book, environment: "demo" }],
    preview: () => Promise.reject(new Error("an allowed read is not previewed")),
    guard: () => Promise.resolve("read"),
    async execute() {
      await appendFile(join(dir, "effects"), "ran\n");
      await then();
      return { output: {} };
    },
  });
}
