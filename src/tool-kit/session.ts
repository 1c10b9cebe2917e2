import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { canonicalCopy, type Json } from "../base/canonical-json.ts";
import { newId } from "../base/id.ts";
import { createToolContext } from "../preview/context.ts";
import type { SealedFile, Tool, ToolContext, ToolPreview } from "../tool.ts";
import type { ToolWorld } from "./world.ts";

/** One request against the tool under test, as the gate would make it. */
export interface Session {
  readonly tool: Tool;
  readonly requestId: string;
  preview(signal?: AbortSignal): Promise<ToolPreview>;
  guard(plan: Json): Promise<string>;
  execute(
    preview: ToolPreview,
    options?: { signal?: AbortSignal; progress?: () => void },
  ): ReturnType<Tool["execute"]>;
  revoke(undo: Json): Promise<void>;
  reconcile(preview: ToolPreview): ReturnType<Tool["reconcile"]>;
}

export async function openSession(world: ToolWorld): Promise<Session> {
  const tool = await world.makeTool();
  const requestId = newId("req", Date.now());
  const withContext = async <T>(
    access: "read" | "write",
    files: readonly SealedFile[],
    work: (ctx: ToolContext) => Promise<T>,
    options: { signal?: AbortSignal; progress?: () => void } = {},
  ): Promise<T> => {
    await mkdir(world.workRoot, { recursive: true, mode: 0o700 });
    const workdir = await mkdtemp(join(world.workRoot, "kit-"));
    try {
      const ctx = createToolContext({
        clock: { now: () => Date.now(), monotonic: () => performance.now() },
        signal: options.signal ?? new AbortController().signal,
        requestId,
        idempotencyKey: requestId,
        workdir,
        access,
        creds: (name) => world.creds?.(name, access) ?? Promise.reject(new Error(`no credential ${name}`)),
        file: (name) => {
          const file = files.find((one) => one.name === name);
          return file === undefined
            ? Promise.reject(new Error(`no file ${name}`))
            : Promise.resolve(file.bytes);
        },
        ...(options.progress === undefined ? {} : { progress: options.progress }),
      });
      return await work(ctx);
    } finally {
      await rm(workdir, { recursive: true, force: true });
    }
  };
  return {
    tool,
    requestId,
    preview: (signal) =>
      withContext(
        "read",
        [],
        (ctx) => tool.preview(canonicalCopy(world.input), ctx),
        signal === undefined ? {} : { signal },
      ),
    guard: (plan) => withContext("read", [], (ctx) => tool.guard(canonicalCopy(plan), ctx)),
    execute: (preview, options) =>
      withContext(
        "write",
        preview.files ?? [],
        (ctx) => tool.execute(canonicalCopy(preview.plan), ctx),
        options,
      ),
    revoke: (undo) => withContext("write", [], (ctx) => tool.revoke(canonicalCopy(undo), ctx)),
    reconcile: (preview) =>
      withContext("read", preview.files ?? [], (ctx) => tool.reconcile(canonicalCopy(preview.plan), ctx)),
  };
}
