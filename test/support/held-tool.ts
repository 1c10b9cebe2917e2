import type { Tool } from "../../src/tool.ts";

/** A step of a tool that waits until the test lets it go on. */
export interface Latch {
  /** Resolves when the step was reached. */
  readonly reached: Promise<void>;
  release(): void;
}

/** The same tool, whose `step` stops once it was called and goes on when it is released. */
export function holdTool(
  tool: Tool,
  step: "preview" | "guard" | "execute" | "revoke" | "reconcile",
): { readonly tool: Tool; readonly latch: Latch } {
  let reach = (): void => undefined;
  let release = (): void => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  const original = tool[step].bind(tool) as (...args: unknown[]) => Promise<unknown>;
  const held = async (...args: unknown[]): Promise<unknown> => {
    reach();
    await released;
    return original(...args);
  };
  return { tool: { ...tool, [step]: held } as Tool, latch: { reached, release: () => release() } };
}
