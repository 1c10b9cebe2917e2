import type { JsonObject } from "../base/canonical-json.ts";
import type { Clock } from "../base/clock.ts";
import type { ToolContext } from "../tool.ts";

/** Which credentials a tool may be given: a preview reads, an execution may write. */
export type CredentialAccess = "read" | "write";

/** Gives a credential by its configured name, or refuses. */
export type Credentials = (name: string, access: CredentialAccess, requestId: string) => Promise<string>;

export interface ToolContextParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** True once the work that it was made for has ended. */
  readonly isOver?: () => boolean;
  readonly requestId: string;
  readonly idempotencyKey: string;
  /** The private directory; a function makes it when it is first asked for. */
  readonly workdir: string | (() => string);
  readonly access: CredentialAccess;
  readonly creds: Credentials;
  /** Bytes of a sealed file of this request, checked against its digest; rejects for a name it doesn't have. */
  readonly file: (name: string) => Promise<Uint8Array>;
  readonly progress?: (message: string) => void;
  readonly asks?: JsonObject;
  readonly follows?: "own_preview";
  readonly trace?: string;
}

/** A progress line is at most this long; tools pass on what backends say. */
const MAX_PROGRESS = 200;

/**
 * What a tool is given to work with. After `signal` is aborted it gives out nothing more: a tool that goes on after its
 * time is up gets no credential to go on with. Nor does what a tool leaves running when it has ended, whose signal may
 * never be aborted.
 */
export function createToolContext(parts: ToolContextParts): ToolContext {
  const demandTime = (): void => {
    parts.signal.throwIfAborted();
    if (parts.isOver?.() === true) throw new Error("the work that this was for is over");
  };
  return {
    signal: parts.signal,
    requestId: parts.requestId,
    idempotencyKey: parts.idempotencyKey,
    get workdir() {
      return typeof parts.workdir === "string" ? parts.workdir : parts.workdir();
    },
    ...(parts.asks === undefined ? {} : { asks: parts.asks }),
    ...(parts.follows === undefined ? {} : { follows: parts.follows }),
    ...(parts.trace === undefined ? {} : { trace: parts.trace }),
    now: () => parts.clock.now(),
    async creds(name) {
      demandTime();
      return parts.creds(name, parts.access, parts.requestId);
    },
    async file(name) {
      demandTime();
      return parts.file(name);
    },
    progress(message) {
      if (parts.signal.aborted) return;
      const line = message.split("\n", 1)[0] ?? "";
      parts.progress?.(line.length > MAX_PROGRESS ? `${line.slice(0, MAX_PROGRESS - 1)}…` : line);
    },
  };
}
