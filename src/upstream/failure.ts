// How talking to an upstream can go wrong. What matters of each is one thing: can the call have taken effect?

interface FailureOptions {
  readonly cause?: unknown;
  /** HTTP status, where there was one. */
  readonly status?: number;
}

/** It is known that the call never left this process, or was turned away at the door: nothing happened. */
export class NotSent extends Error {
  override readonly name = "NotSent";
  readonly code: "upstream_unavailable" | "upstream_refused";
  readonly status: number | null;

  constructor(code: NotSent["code"], message: string, options: FailureOptions = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status ?? null;
  }
}

/** The call left, and no answer that can be used came back: it may have taken effect. */
export class LostReply extends Error {
  override readonly name = "LostReply";
  readonly status: number | null;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options);
    this.status = options.status ?? null;
  }
}

/**
 * True where a new connection may be let in: a session that the server forgot (404, of some servers 400), a token that was
 * replaced. With 400 it may still have acted (X2): only what changes nothing may be asked again.
 */
export const isShutOut = (error: unknown): boolean =>
  (error instanceof NotSent || error instanceof LostReply) &&
  error.status !== null &&
  SHUT_OUT.has(error.status);
const SHUT_OUT: ReadonlySet<number> = new Set([400, 401, 403, 404]);

/** The server answered with a JSON-RPC error. */
export class ErrorReply extends Error {
  override readonly name = "ErrorReply";
  readonly error: { readonly code: number; readonly message: string; readonly data?: unknown };

  constructor(error: ErrorReply["error"]) {
    super(error.message);
    this.error = error;
  }
}

/** JSON-RPC codes of ours for what a transport found out; a server that sends one itself gains nothing by it. */
export const LOCAL = { tooLarge: -39_001, lost: -39_002 } as const;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/** What an answer that leads elsewhere is; null for any other. Nobody registered the address that it names. */
export const redirectIn = (status: number): NotSent | null =>
  REDIRECTS.has(status)
    ? new NotSent(
        "upstream_refused",
        `the server answered HTTP ${status}, a redirect; register the address that it leads to`,
      )
    : null;
