import { spawn } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import type { Terraform } from "./command.ts";
import type { MarkPlace } from "./marks.ts";

// `terraform apply` of a saved plan. What it says goes into a file and not into a pipe of ours: a gateway that is killed
// must not take terraform with it in the middle of a change, before it has written its state. It holds the workspace's
// lock as long as it runs, through a descriptor that it inherits.

export interface ApplyEnd {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stopped: boolean;
  readonly events: ApplyEvents;
}

/** What the events of an apply tell. */
export interface ApplyEvents {
  /** True once terraform began to change something. */
  readonly began: boolean;
  readonly completed: number;
  readonly failed: number;
  /** Its own last word, only where everything was applied. */
  readonly summary: { readonly add: number; readonly change: number; readonly remove: number } | null;
  /** Errors, as terraform words them; may quote anything. */
  readonly errors: readonly string[];
  readonly isStale: boolean;
}

/** The program could not be started at all. */
export class NotStarted extends Error {
  override readonly name = "NotStarted";
}

const POLL_MS = 200;
const MAX_EVENT_BYTES = 64 * 1024 * 1024;

/** Runs it to its end, or to `stopGraceMs` after the signal: interrupted first, so that it can write its state. */
export async function runApply(
  terraform: Terraform,
  options: {
    readonly planFile: string;
    readonly place: MarkPlace;
    readonly lockFd: number;
    readonly signal: AbortSignal;
    readonly stopGraceMs: number;
    readonly onLine: (message: string) => void;
  },
): Promise<ApplyEnd> {
  const { place, signal } = options;
  const out = await open(place.events, "a+", 0o600);
  try {
    const child = spawn(
      terraform.version.path,
      ["apply", "-input=false", "-no-color", "-json", "-lock-timeout=30s", options.planFile],
      {
        cwd: terraform.room.work,
        env: terraform.env,
        detached: true,
        shell: false,
        stdio: ["ignore", out.fd, out.fd, options.lockFd],
      },
    );
    const send = (target: number, name: NodeJS.Signals): void => {
      try {
        process.kill(target, name);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code !== "ESRCH" && code !== "EPERM") throw error;
      }
    };
    let stopped = false;
    let grace: NodeJS.Timeout | undefined;
    const stop = (): void => {
      stopped = true;
      if (child.pid === undefined) return;
      const { pid } = child;
      // Terraform alone: it tells its providers itself. Its group only when it does not come to an end.
      send(pid, "SIGINT");
      grace = setTimeout(() => send(-pid, "SIGKILL"), options.stopGraceMs);
    };
    const reader = createEventReader(out, options.onLine);
    const timer = setInterval(() => void reader.read().catch(() => undefined), POLL_MS);
    try {
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once("error", (error) => {
          if (child.pid === undefined)
            reject(new NotStarted("terraform could not be started", { cause: error }));
        });
        child.once("exit", (status) => {
          if (child.pid !== undefined) send(-child.pid, "SIGKILL");
          resolve(status);
        });
        if (signal.aborted) stop();
        else signal.addEventListener("abort", stop, { once: true });
      });
      await reader.read();
      return { code, stopped, events: reader.events() };
    } finally {
      clearInterval(timer);
      clearTimeout(grace);
      signal.removeEventListener("abort", stop);
    }
  } finally {
    await out.close();
  }
}

/** Reads events from where it stopped reading. */
export function createEventReader(
  file: FileHandle,
  onLine: (message: string) => void = () => undefined,
): { read(): Promise<void>; events(): ApplyEvents } {
  let at = 0;
  let rest = "";
  let reading: Promise<void> = Promise.resolve();
  const state = {
    began: false,
    completed: 0,
    failed: 0,
    summary: null as ApplyEvents["summary"],
    errors: [] as string[],
    isStale: false,
  };
  const decoder = new TextDecoder();
  const take = (line: string): void => {
    const event = parseEvent(line);
    switch (event?.type) {
      case "apply_start":
        state.began = true;
        break;
      case "apply_complete":
        state.completed += 1;
        break;
      case "apply_errored":
        state.failed += 1;
        break;
      case "change_summary":
        if (event.changes?.operation === "apply") {
          state.began = true;
          state.summary = {
            add: event.changes.add ?? 0,
            change: event.changes.change ?? 0,
            remove: event.changes.remove ?? 0,
          };
        }
        break;
      case "diagnostic":
        if (event.diagnostic?.severity === "error") {
          if (state.errors.length < 20)
            state.errors.push(
              `${event.diagnostic.summary ?? ""}: ${event.diagnostic.detail ?? ""}`.slice(0, 2_000),
            );
          if (event.diagnostic.summary === "Saved plan is stale") state.isStale = true;
        }
        break;
      default:
        break;
    }
    if (/^(?:apply_(?:start|progress|complete|errored)|provision_start)$/.test(event?.type ?? ""))
      onLine(event?.["@message"] ?? "");
  };
  const more = async (): Promise<void> => {
    const chunk = Buffer.alloc(256 * 1024);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0 || at > MAX_EVENT_BYTES) return;
      at += bytesRead;
      rest += decoder.decode(chunk.subarray(0, bytesRead), { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
    }
  };
  return {
    read() {
      // One after the other: the place to read from is shared.
      reading = reading.then(more, more);
      return reading;
    },
    events: () => ({ ...state, errors: [...state.errors] }),
  };
}

interface ApplyEvent {
  readonly type?: string;
  readonly "@message"?: string;
  readonly changes?: {
    readonly operation?: string;
    readonly add?: number;
    readonly change?: number;
    readonly remove?: number;
  };
  readonly diagnostic?: { readonly severity?: string; readonly summary?: string; readonly detail?: string };
}

function parseEvent(line: string): ApplyEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // A line that terraform was writing when it was killed.
    return undefined;
  }
}
