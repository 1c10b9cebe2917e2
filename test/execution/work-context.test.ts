import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import type { ContextParts } from "../../src/execution/execution.ts";
import { createWorkContexts } from "../../src/execution/work-context.ts";

// What a tool leaves running behind it: for how long is it given anything?

let workRoot: string;
beforeEach(() => {
  workRoot = mkdtempSync(join(tmpdir(), "cs-contexts-"));
});
afterEach(() => rmSync(workRoot, { recursive: true, force: true }));

const silent = (): void => undefined;
const contextOf = (mode: ContextParts["mode"], executeTimeoutMs = 60_000) =>
  createWorkContexts({
    clock: { now: () => 1_000_000, monotonic: () => 5 },
    workRoot,
    creds: (name, access) => Promise.resolve(`${access} ${name}`),
    previewTimeoutMs: 60_000,
    executeTimeoutMs,
    log: { info: silent, warn: silent, error: silent },
  })({
    request: "req_1" as RequestId,
    idempotencyKey: "grt_1",
    mode,
    file: () => Promise.resolve(new Uint8Array()),
    progress: silent,
  });

test.each(["preview", "execute", "execute_at_once"] as const)(
  "when the work is over, nothing more is given out (%s)",
  async (mode) => {
    const { ctx, dispose } = await contextOf(mode);
    expect(await ctx.creds("db")).toBe(`${mode === "preview" ? "read" : "write"} db`);
    await dispose();
    await expect(ctx.creds("db")).rejects.toThrow("is over");
    await expect(ctx.file("a")).rejects.toThrow("is over");
  },
);

test("nor when its time is up, though nobody says that it is over", async () => {
  const { ctx, dispose } = await contextOf("execute_at_once", 20);
  await expect.poll(() => ctx.signal.aborted).toBe(true);
  await expect(ctx.creds("db")).rejects.toThrow("no end after 20 ms");
  await dispose();
});
