import { randomBytes } from "node:crypto";
import type { Caller } from "../../request/principal.ts";
import { clientClaim } from "./call-context.ts";
import type { RpcId } from "./message.ts";

// Sessions of clients from before 2026-07-28, without a table of sessions.
//
// Such a client says who it is once, in `initialize`, and names the session from then on. The session id carries that
// claim itself: it survives a restart of the gateway, nothing has to be evicted, and there is nothing to steal,
// because every request brings its own bearer token (M3). A client that sends none is served as well.

const SESSION = /^cs1\.([A-Za-z0-9_-]{1,1024})\.[A-Za-z0-9_-]{16}$/;

/** The session id for a client that introduced itself as `client`. */
export function newSessionId(client: Caller["client"]): string {
  const claim = Buffer.from(JSON.stringify(client === null ? [] : [client.name, client.version]));
  return `cs1.${claim.toString("base64url")}.${randomBytes(12).toString("base64url")}`;
}

/** What the client said of itself when the session began; null for an id that is not one of ours. */
export function clientOfSession(id: string | null): Caller["client"] {
  const claim = SESSION.exec(id ?? "")?.[1];
  if (claim === undefined) return null;
  try {
    const [name, version] = JSON.parse(Buffer.from(claim, "base64url").toString("utf8")) as unknown[];
    return clientClaim(name, version);
  } catch {
    return null;
  }
}

/** Calls under way by session and request id, for cancellations that come in a request of their own. */
export interface OpenCalls {
  /** The signal that a later cancellation aborts, and the way to forget it. */
  open(
    client: string,
    session: string,
    id: RpcId,
  ): { readonly signal: AbortSignal; readonly close: () => void };
  cancel(client: string, session: string, id: RpcId): void;
}

export function createOpenCalls(): OpenCalls {
  const calls = new Map<string, AbortController>();
  const keyOf = (...parts: readonly (string | number)[]): string => JSON.stringify(parts);
  return {
    open(client, session, id) {
      const key = keyOf(client, session, id);
      const controller = new AbortController();
      calls.set(key, controller);
      return {
        signal: controller.signal,
        close: () => {
          if (calls.get(key) === controller) calls.delete(key);
        },
      };
    },
    cancel: (client, session, id) => calls.get(keyOf(client, session, id))?.abort(),
  };
}
