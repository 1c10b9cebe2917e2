import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Effect } from "../../src/request/action-request.ts";
import { defineTool, type Tool } from "../../src/tool.ts";
import type { ToolView } from "../../src/preview/view.ts";

// Tools whose previews look like those of real backends, for pages and pictures: they write one line to a file and their
// views are given. What a backend could put into a view, a scene can.

/** One thing an agent may ask for: what people are shown, and how it ends. */
export interface Scene {
  readonly view: Partial<ToolView> & Pick<ToolView, "summary" | "verb">;
  readonly targets: readonly { readonly kind: string; readonly id: string; readonly environment: string }[];
  /** What becomes of it once it is sent: it runs, or its reply is lost. */
  readonly ends?: "done" | "lost";
}

export interface ShowcaseTool {
  readonly name: string;
  readonly title: string;
  readonly effect: Exclude<Effect, "read">;
  readonly input: z.ZodObject;
  /** The scene that a call is about. */
  scene(input: Readonly<Record<string, unknown>>): Scene;
}

/** A tool over scenes. What it ran stands as one line a run in a file of its name. */
export const showcaseTool = (spec: ShowcaseTool, dir: string): Tool =>
  defineTool({
    name: spec.name,
    title: spec.title,
    description: `${spec.title}.`,
    input: spec.input,
    output: z.object({ ran: z.string() }),
    plan: z.object({ what: z.string(), lost: z.boolean() }),
    effect: spec.effect,
    idempotent: false,
    refusals: {},
    targets: (input) => [...spec.scene(input).targets],
    async preview(input) {
      const { view, ends } = spec.scene(input);
      return {
        plan: { what: view.summary, lost: ends === "lost" },
        guard: view.summary,
        expiresAt: null,
        files: [],
        view: {
          changes: [],
          counts: {},
          facts: {},
          warnings: [],
          documents: [],
          complete: true,
          reversible: "run the release before it again",
          fidelity: "exact",
          ...view,
        },
      };
    },
    guard: ({ what }) => Promise.resolve(what),
    async execute({ what, lost }) {
      await appendFile(join(dir, spec.name), `${what}\n`);
      if (lost) throw new Error("the connection broke off after the request was sent");
      return { output: { ran: what } };
    },
    reconcile: () => Promise.resolve("unknown" as const),
  });
