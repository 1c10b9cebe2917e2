import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Clock } from "../../src/base/clock.ts";
import {
  createPreviewer,
  nameTargets,
  PREVIEW_CAPS,
  type PreviewerParts,
  type PreviewOptions,
} from "../../src/preview/preview.ts";
import type { ToolView } from "../../src/preview/view.ts";
import { defineTool, ToolRefusal, type Tool, type ToolContext, type ToolPreview } from "../../src/tool.ts";

let workRoot: string;
let logged: unknown[];
beforeEach(() => {
  workRoot = mkdtempSync(join(tmpdir(), "cs-previews-"));
  logged = [];
});
afterEach(() => rmSync(workRoot, { recursive: true, force: true }));

const view: ToolView = {
  summary: "set the flag",
  verb: "SET",
  changes: [],
  counts: {},
  facts: {},
  warnings: [],
  documents: [],
  complete: true,
  reversible: "set it back",
  fidelity: "exact",
};
const good: ToolPreview = { plan: { on: true }, view, guard: "g", expiresAt: null };

function tool(preview: (ctx: ToolContext, input: { flag: string }) => Promise<unknown>): Tool {
  return defineTool({
    name: "set_flag",
    title: "Set",
    description: "Sets a flag.",
    input: z.strictObject({ flag: z.string() }),
    output: z.strictObject({}),
    plan: z.unknown(),
    effect: "write",
    idempotent: true,
    refusals: { no_flag: "there is no such flag", unknown_flag: "name a registered flag" },
    targets(input) {
      if (input.flag === "odd") throw new ToolRefusal("unknown_flag", "odd one");
      return [{ kind: "flag", id: input.flag, environment: "demo" }];
    },
    preview: (input, ctx) => preview(ctx, input) as Promise<ToolPreview<unknown>>,
    guard: () => Promise.resolve("g"),
    execute: () => Promise.resolve({ output: {} }),
  });
}

const frozen: Clock = { now: () => 1_000_000, monotonic: () => 5 };
function previewer(parts: Partial<PreviewerParts> & { timeoutMs?: number } = {}) {
  return createPreviewer({
    clock: frozen,
    limits: { previewsAtOnce: 2, previewsPerHour: 30, previewTimeoutMs: parts.timeoutMs ?? 5_000 },
    workRoot,
    creds: (name, access) => Promise.resolve(`${access} ${name}`),
    log: {
      info: () => undefined,
      warn: (fields: unknown) => void logged.push(fields),
    } as PreviewerParts["log"],
    ...parts,
  });
}
const options = (more: Partial<PreviewOptions> = {}): PreviewOptions => ({
  requestId: "req_1",
  principal: "ana",
  signal: new AbortController().signal,
  ...more,
});
const run = (
  preview: (ctx: ToolContext) => Promise<unknown>,
  more: Partial<PreviewOptions> = {},
  parts: Parameters<typeof previewer>[0] = {},
) => previewer(parts).run(tool(preview), { flag: "a" }, options(more));

describe("what a tool is given", () => {
  test("a private directory that is gone afterwards, read credentials, and no sealed files", async () => {
    const seen: Record<string, unknown> = {};
    const result = await run(async (ctx) => {
      seen["mode"] = statSync(ctx.workdir).mode & 0o777;
      writeFileSync(join(ctx.workdir, "scratch"), "x");
      seen["cred"] = await ctx.creds("db");
      seen["file"] = await ctx.file("a").catch(() => "refused");
      seen["now"] = ctx.now();
      return good;
    });
    expect(result).toMatchObject({ ok: true, value: { plan: { on: true }, files: [], lease: null } });
    expect(seen).toEqual({ mode: 0o700, cred: "read db", file: "refused", now: 1_000_000 });
    expect(readdirSync(workRoot)).toEqual([]);
  });

  test("its input is a copy: what it does to it changes nothing", async () => {
    const input = { flag: "a" };
    await previewer().run(
      tool((_, given) => {
        given.flag = "b";
        return Promise.resolve(good);
      }),
      input,
      options(),
    );
    expect(input.flag).toBe("a");
  });

  test("what it leaves running is given nothing any more", async () => {
    let left: Promise<unknown> = Promise.resolve();
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    await run((ctx) => {
      left = ended.then(() => ctx.creds("db")).catch((error: unknown) => (error as Error).message);
      return Promise.resolve(good);
    });
    end();
    expect(await left).toContain("is over");
  });

  test("progress is one line", async () => {
    const lines: string[] = [];
    await run(
      (ctx) => {
        ctx.progress(`one\ntwo`);
        ctx.progress("x".repeat(500));
        return Promise.resolve(good);
      },
      { progress: (line) => lines.push(line) },
    );
    expect(lines[0]).toBe("one");
    expect(lines[1]).toHaveLength(200);
  });
});

describe("what the caller is told of a failure (P4)", () => {
  test("the tool's own words for a code it declares, and nothing of the detail", async () => {
    const result = await run(() => Promise.reject(new ToolRefusal("no_flag", "db said: password=hunter2")));
    expect(result).toMatchObject({
      ok: false,
      error: { code: "preview_failed", reason: "no_flag", message: "there is no such flag" },
    });
    if (!result.ok) expect(result.error.message).not.toContain("hunter2");
    expect(JSON.stringify(logged)).toContain("db said");
  });

  test("a generic sentence for anything else, also for a code it does not declare", async () => {
    for (const error of [
      new Error("secret-host:5432 refused"),
      new ToolRefusal("constructor", "x"),
      new ToolRefusal("made_up"),
      "text",
      undefined,
    ]) {
      const result = await run(() => Promise.reject(error as Error));
      expect(result).toMatchObject({
        ok: false,
        error: { code: "preview_failed", reason: null, message: "the change could not be previewed" },
      });
    }
  });

  test("targets that cannot be named are target_unknown", () => {
    expect(
      nameTargets(
        tool(() => Promise.resolve(good)),
        { flag: "odd" },
      ),
    ).toMatchObject({
      ok: false,
      error: { code: "target_unknown", message: "name a registered flag", reason: "unknown_flag" },
    });
    expect(
      nameTargets(
        tool(() => Promise.resolve(good)),
        { flag: "a" },
      ),
    ).toEqual({
      ok: true,
      value: { targets: [{ kind: "flag", id: "a", environment: "demo" }], registration: null },
    });
  });
});

describe("what a tool gives is parsed", () => {
  const bad: Record<string, unknown> = {
    "no view": { ...good, view: undefined },
    "a view with an unknown member": { ...good, view: { ...view, html: "<b>" } },
    "a view without a summary": { ...good, view: { ...view, summary: "" } },
    "a plan that is not JSON": { ...good, plan: { at: new Date(0) } },
    "a plan with a bigint": { ...good, plan: 1n },
    "a plan over its cap": { ...good, plan: "x".repeat(PREVIEW_CAPS.planBytes) },
    "a view over its cap": { ...good, view: { ...view, reversible: "x".repeat(PREVIEW_CAPS.viewBytes) } },
    "a lone surrogate": { ...good, view: { ...view, summary: "\ud800" } },
    "an empty guard": { ...good, guard: "" },
    "a guard that is no text": { ...good, guard: 7 },
    "an expiry in the past": { ...good, expiresAt: 999_999 },
    "an expiry that is no number": { ...good, expiresAt: "later" },
    "files of one name": {
      ...good,
      files: [1, 2].map(() => ({ name: "a", type: "text/plain", bytes: new Uint8Array(1) })),
    },
    "a file name with a slash": {
      ...good,
      files: [{ name: "../a", type: "text/plain", bytes: new Uint8Array(1) }],
    },
    "a file without bytes": { ...good, files: [{ name: "a", type: "text/plain", bytes: "text" }] },
    "files over their cap": {
      ...good,
      files: [{ name: "a", type: "text/plain", bytes: new Uint8Array(PREVIEW_CAPS.fileBytes + 1) }],
    },
    "a lease without an end": { ...good, lease: { undo: {}, durationMs: 0, endsBy: "countersign" } },
    nothing: undefined,
  };
  for (const [name, value] of Object.entries(bad)) {
    test(`${name} is a failed preview`, async () => {
      expect(await run(() => Promise.resolve(value))).toMatchObject({
        ok: false,
        error: { code: "preview_failed" },
      });
    });
  }

  test("what comes back is a copy: a tool that keeps its objects can't change them later", async () => {
    const plan = { on: true };
    const result = await run(() => Promise.resolve({ ...good, plan }));
    plan.on = false;
    expect(result).toMatchObject({ ok: true, value: { plan: { on: true } } });
  });
});

describe("time", () => {
  test("a preview that takes too long is stopped and says so", async () => {
    let stopped = false;
    const result = await run(
      (ctx) =>
        new Promise((_, reject) =>
          ctx.signal.addEventListener("abort", () => {
            stopped = true;
            reject(new Error("stopped"));
          }),
        ),
      {},
      { timeoutMs: 50 },
    );
    expect(stopped).toBe(true);
    expect(result).toMatchObject({ ok: false, error: { code: "preview_failed" } });
    expect(readdirSync(workRoot)).toEqual([]);
  });

  test("a late answer is not used, and no credential is given after the end", async () => {
    let late: unknown;
    const result = await run(
      async (ctx) => {
        await new Promise((resolve) => setTimeout(resolve, 120));
        late = await ctx.creds("db").catch(() => "refused");
        return good;
      },
      {},
      { timeoutMs: 40 },
    );
    expect(result).toMatchObject({ ok: false, error: { message: "the preview took too long" } });
    expect(late).toBe("refused");
  });

  test("a tool that ignores its signal is left behind and keeps its place until it ends", async () => {
    let end = (): void => undefined;
    const hanging = tool(
      () =>
        new Promise((resolve) => {
          end = () => resolve(good);
        }),
    );
    const one = previewer({
      graceMs: 200,
      limits: { previewsAtOnce: 1, previewsPerHour: 30, previewTimeoutMs: 20 },
    });
    const started = performance.now();
    expect(await one.run(hanging, { flag: "a" }, options())).toMatchObject({ ok: false });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(await one.run(hanging, { flag: "a" }, options())).toMatchObject({
      ok: false,
      error: { code: "rate_limited" },
    });
    end();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(readdirSync(workRoot)).toEqual([]);
    expect(
      await one.run(
        tool(() => Promise.resolve(good)),
        { flag: "a" },
        options(),
      ),
    ).toMatchObject({ ok: true });
  });
});

describe("limits of a principal", () => {
  test("two at once, the rest in turn, and other principals are not held up", async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const slow = tool(async () => {
      await gate;
      return good;
    });
    const one = previewer();
    let started = 0;
    const counted = tool(async () => {
      started += 1;
      await gate;
      return good;
    });
    const mine = Array.from({ length: 5 }, () => one.run(counted, { flag: "a" }, options()));
    const other = one.run(slow, { flag: "a" }, options({ principal: "ben" }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(started).toBe(2);
    open();
    expect((await Promise.all([...mine, other])).every((result) => result.ok)).toBe(true);
    expect(started).toBe(5);
  });

  test("a flood is not queued", async () => {
    const never = tool(() => new Promise(() => undefined));
    const one = previewer({ limits: { previewsAtOnce: 2, previewsPerHour: 100, previewTimeoutMs: 60_000 } });
    for (let i = 0; i < 22; i += 1) void one.run(never, { flag: "a" }, options());
    expect(await one.run(never, { flag: "a" }, options())).toMatchObject({
      ok: false,
      error: { code: "rate_limited", retryAfterMs: 1_000 },
    });
  });

  test("thirty an hour, counted by monotonic time", async () => {
    let now = 0;
    const one = previewer({ clock: { now: () => 1_000, monotonic: () => now } });
    const quick = tool(() => Promise.resolve(good));
    for (let i = 0; i < 30; i += 1) {
      now += 60_000;
      expect((await one.run(quick, { flag: "a" }, options())).ok).toBe(true);
    }
    expect(await one.run(quick, { flag: "a" }, options())).toMatchObject({
      ok: false,
      error: { code: "rate_limited", retryAfterMs: 60_000 + 3_600_000 - now },
    });
    now = 60_000 + 3_600_000;
    expect((await one.run(quick, { flag: "a" }, options())).ok).toBe(true);
  });

  test("a caller who is gone has its preview stopped", async () => {
    const gone = new AbortController();
    const result = run(
      (ctx) => new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(new Error("x")))),
      { signal: gone.signal },
    );
    setTimeout(() => gone.abort(), 20);
    expect(await result).toMatchObject({ ok: false });
    expect(await run(() => Promise.resolve(good), { signal: AbortSignal.abort() })).toMatchObject({
      ok: false,
    });
  });
});

test("the work root is made private where it is missing", async () => {
  const nested = join(workRoot, "a", "b");
  await run(() => Promise.resolve(good), {}, { workRoot: nested });
  expect(existsSync(nested)).toBe(true);
  expect(statSync(nested).mode & 0o777).toBe(0o700);
});
