// How talking to an upstream can go wrong. What matters of each is one thing: can the call have taken effect?

/** It is known that the call never left this process, or was turned away at the door: nothing happened. */
export class NotSent extends Error {
  override readonly name = "NotSent";
  readonly code: "upstream_unavailable" | "upstream_refused";

  constructor(code: NotSent["code"], message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The call left, and no answer that can be used came back: it may have taken effect. */
export class LostReply extends Error {
  override readonly name = "LostReply";
}

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
