import type { Logger } from "pino";
import { canonicalCopy, canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { anySignal } from "../base/any-signal.ts";
import type { Clock } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Target } from "../request/action-request.ts";
import { ToolRefusal, type SealedFile, type Tool, type ToolPreview } from "../tool.ts";
import { createToolContext, type Credentials } from "./context.ts";
import { createPreviewLimit } from "./preview-limit.ts";
import { toolViewSchema, type ToolView } from "./view.ts";
import { createWorkdir, type Workdir } from "./workdir.ts";

// Runs a tool's preview as one runs code that may hang, lie or fail: with a deadline, in a private directory, within
// limits, and with everything it gives parsed again.
//
//   P4. What the caller is told of a failure is a code and words of ours, from the tool's own `refusals`. What a
//       backend said goes to the operator's log and nowhere else.

export interface PreviewerParts {
  readonly clock: Clock;
  readonly limits: {
    readonly previewsAtOnce: number;
    readonly previewsPerHour: number;
    readonly previewTimeoutMs: number;
  };
  /** Directory under which each preview gets one of its own (0700), removed afterwards. */
  readonly workRoot: string;
  readonly creds: Credentials;
  /** Milliseconds a tool has to come to an end after it was told to stop; 5 s. */
  readonly graceMs?: number;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** Evidence: what would run and what people are shown, parsed and within limits. */
export interface Preview {
  readonly plan: Json;
  readonly view: ToolView;
  readonly files: readonly SealedFile[];
  readonly guard: string;
  /** Epoch milliseconds; null: the plan has no end of its own. */
  readonly expiresAt: number | null;
  readonly lease: NonNullable<ToolPreview["lease"]> | null;
}

export interface PreviewRefusal {
  readonly code: "preview_failed" | "target_unknown" | "rate_limited" | OwnCode;
  /** Words of ours: the caller may see them (P4). */
  readonly message: string;
  /** The tool's own code, where it gave one that it declares. */
  readonly reason: string | null;
  /** For the operator's log only. */
  readonly detail: string;
  readonly retryAfterMs: number | null;
}

/** Reasons of a tool that callers are told by a refusal code of their own. */
const OWN_CODES = ["definition_changed", "upstream_unavailable"] as const;
type OwnCode = (typeof OWN_CODES)[number];

export interface PreviewOptions {
  readonly requestId: string;
  /** Whose limits count; any stable text. */
  readonly principal: string;
  readonly signal: AbortSignal;
  readonly progress?: (message: string) => void;
}

export interface Previewer {
  run(tool: Tool, input: JsonObject, options: PreviewOptions): Promise<Result<Preview, PreviewRefusal>>;
}

export const PREVIEW_CAPS = {
  planBytes: 1024 * 1024,
  viewBytes: 8 * 1024 * 1024,
  fileBytes: 32 * 1024 * 1024,
  files: 16,
  guardLength: 1_024,
} as const;

const DEFAULT_GRACE_MS = 5_000;

class TookTooLong extends Error {
  override readonly name = "TookTooLong";
}

/** A place for what is not counted; calls as such are (`held_per_minute`). */
const AT_ONCE = { leave: (): void => undefined };

export function createPreviewer(parts: PreviewerParts): Previewer {
  const limit = createPreviewLimit({
    clock: parts.clock,
    atOnce: parts.limits.previewsAtOnce,
    perHour: parts.limits.previewsPerHour,
    waitMs: parts.limits.previewTimeoutMs,
  });
  const refuse = (
    tool: Tool,
    options: PreviewOptions,
    refusal: PreviewRefusal,
  ): Result<Preview, PreviewRefusal> => {
    parts.log.warn(
      {
        requestId: options.requestId,
        tool: tool.name,
        code: refusal.code,
        reason: refusal.reason,
        detail: refusal.detail,
      },
      "preview refused",
    );
    return err(refusal);
  };
  return {
    async run(tool, input, options) {
      const place = tool.isCheapToPreview === true ? AT_ONCE : await limit.enter(options.principal);
      if ("retryAfterMs" in place) {
        return refuse(tool, options, {
          code: "rate_limited",
          message: "too many previews for this principal",
          reason: null,
          detail: options.principal,
          retryAfterMs: place.retryAfterMs,
        });
      }
      try {
        return ok(await runOnce(parts, tool, input, options, place.leave));
      } catch (error) {
        return refuse(tool, options, previewRefusal(tool, error));
      }
    },
  };
}

/** What an error of `targets` or `preview` means to the caller, and what only the operator may see of it (P4). */
function previewRefusal(tool: Tool, error: unknown): PreviewRefusal {
  const reason = error instanceof ToolRefusal && Object.hasOwn(tool.refusals, error.code) ? error.code : null;
  const words =
    error instanceof TookTooLong ? "the preview took too long" : "the change could not be previewed";
  return {
    code: OWN_CODES.find((code) => code === reason) ?? "preview_failed",
    message: (reason === null ? undefined : tool.refusals[reason]) ?? words,
    reason,
    detail: describe(error),
    retryAfterMs: null,
  };
}

/** The targets, effect and registration of a call, without touching any backend; or why there are none. */
export function nameTargets(
  tool: Tool,
  input: JsonObject,
): Result<{ readonly targets: readonly Target[]; readonly registration: Json }, PreviewRefusal> {
  try {
    const targets = canonicalCopy(tool.targets(input));
    if (targets.length === 0) throw new Error("a tool has to name at least one target");
    return ok({ targets, registration: canonicalCopy(tool.registration(input)) });
  } catch (error) {
    const refusal = previewRefusal(tool, error);
    return err(refusal.reason === null ? refusal : { ...refusal, code: "target_unknown" });
  }
}

async function runOnce(
  parts: PreviewerParts,
  tool: Tool,
  input: JsonObject,
  options: PreviewOptions,
  leave: () => void,
): Promise<Preview> {
  const graceMs = parts.graceMs ?? DEFAULT_GRACE_MS;
  const stopping = anySignal([options.signal]);
  const { signal } = stopping;
  let work: Promise<ToolPreview> | undefined;
  let workdir: Workdir | undefined;
  let isOver = false;
  const timer = setTimeout(
    () => stopping.abort(new TookTooLong(`no preview after ${parts.limits.previewTimeoutMs} ms`)),
    parts.limits.previewTimeoutMs,
  );
  try {
    signal.throwIfAborted();
    workdir = createWorkdir(parts.workRoot, "preview-");
    const context = createToolContext({
      clock: parts.clock,
      signal,
      isOver: () => isOver,
      requestId: options.requestId,
      idempotencyKey: options.requestId,
      workdir: workdir.path,
      access: "read",
      creds: parts.creds,
      file: () => Promise.reject(new Error("a preview has no sealed files yet")),
      ...(options.progress === undefined ? {} : { progress: options.progress }),
    });
    work = tool.preview(canonicalCopy(input), context);
    const raw = await untilStopped(work, signal, graceMs);
    return parsePreview(raw, parts.clock.now());
  } finally {
    isOver = true;
    clearTimeout(timer);
    stopping.release();
    // A tool that ignores its signal keeps its place and its directory until it comes to an end.
    const after = async (): Promise<void> => {
      await work?.catch(() => undefined);
      await workdir?.remove();
    };
    const done = after()
      .catch((error: unknown) =>
        parts.log.warn({ tool: tool.name, detail: describe(error) }, "work directory not removed"),
      )
      .finally(leave);
    await orAfter(done, graceMs);
  }
}

async function untilStopped<T>(work: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T> {
  let stop = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => {
      setTimeout(() => reject(asError(signal.reason)), graceMs).unref();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    const value = await Promise.race([work, stopped]);
    // Its time was up or its caller gone: what it gives now was not asked for any more.
    signal.throwIfAborted();
    return value;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function parsePreview(raw: ToolPreview, now: number): Preview {
  const caps = PREVIEW_CAPS;
  const plan = capped("plan", raw.plan, caps.planBytes);
  const view = toolViewSchema.parse(capped("view", raw.view, caps.viewBytes));
  const files = (raw.files ?? []).map(({ name, type, bytes }) => ({ name, type, bytes }));
  if (files.length > caps.files) throw new Error(`${files.length} files, at most ${caps.files}`);
  if (new Set(files.map((file) => file.name)).size !== files.length) throw new Error("two files of one name");
  for (const file of files) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(file.name)) throw new Error("a file name that is none");
    if (!/^[a-z0-9.+-]+\/[a-z0-9.+-]+$/.test(file.type)) throw new Error(`a media type for ${file.name}`);
    if (!(file.bytes instanceof Uint8Array)) throw new Error(`bytes for ${file.name}`);
  }
  const bytes = files.reduce((sum, file) => sum + file.bytes.length, 0);
  if (bytes > caps.fileBytes) throw new Error(`files of ${bytes} bytes, at most ${caps.fileBytes}`);
  if (typeof raw.guard !== "string" || raw.guard === "" || raw.guard.length > caps.guardLength) {
    throw new Error(`a guard of 1 to ${caps.guardLength} characters`);
  }
  if (raw.expiresAt !== null && !(isTime(raw.expiresAt) && raw.expiresAt > now)) {
    throw new Error("an expiry in the future, or null");
  }
  const { lease } = raw;
  if (lease !== undefined && !(lease.durationMs > 0 && isTime(now + lease.durationMs))) {
    throw new Error("a lease of a positive number of milliseconds");
  }
  return {
    plan,
    view,
    files,
    guard: raw.guard,
    expiresAt: raw.expiresAt,
    lease: lease === undefined ? null : { ...lease, undo: capped("undo", lease.undo, caps.planBytes) },
  };
}

/** A time that a Date can hold (ECMA-262 §21.4.1.1). */
const isTime = (ms: number): boolean => Number.isSafeInteger(ms) && ms <= 8.64e15;

// A copy through the text that will be hashed: what people see and what runs is then certainly plain JSON.
function capped(what: string, value: unknown, maxBytes: number): Json {
  const text = canonicalJson(value);
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) throw new Error(`a ${what} of ${bytes} bytes, at most ${maxBytes}`);
  return JSON.parse(text) as Json;
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)));

function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.slice(0, 4_000).toWellFormed();
}

/** Waits for `work`, and at most so many milliseconds. */
async function orAfter(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms).unref();
  });
  await Promise.race([work, time]);
  clearTimeout(timer);
}
