import {
  isJSONRPCErrorResponse,
  parseJSONRPCMessage,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  type JSONRPCMessage,
  type JSONRPCRequest,
} from "@modelcontextprotocol/client";
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { Agent as TlsAgent, request as httpsRequest } from "node:https";
import { urlToHttpOptions } from "node:url";
import { readEvents, readText, TooLarge } from "./event-stream.ts";
import { NotSent, redirectIn } from "./failure.ts";

// One request to a server behind a URL, and what comes back: the SDK's own way over Node's HTTP and connections that
// stay open, without web requests, responses and streams.
//
//   E1. Everything goes to the one address that is registered: no redirect is followed, no certificate goes unchecked.
//   E2. No call is sent twice. What broke before its connection was made was not sent (X2); what broke later may have
//       been taken, a connection that the server closed a moment before included. A list changes nothing: where a kept
//       connection ended under it, it is asked for once more (RFC 9110 §9.2.2).

export interface HttpExchangesParts {
  readonly url: URL;
  /** Credentials among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
}

export interface Exchange {
  readonly message: JSONRPCRequest;
  /** Headers of this request, by lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  deliver(message: JSONRPCMessage): void;
  onerror(error: Error): void;
}

export interface HttpExchanges {
  /** Comes back when the reply was delivered, or something that is none was. @throws where there is none */
  run(exchange: Exchange): Promise<void>;
  /** Nobody waits for this one any more. */
  drop(id: unknown): void;
  close(): void;
}

/** Below the five seconds after which servers close: a request is not to meet its connection's end. */
const IDLE_MS = 2_500;
const CONNECT_MS = 10_000;
const MAX_CONNECTIONS = 256;
/** A server that has answered and does not end its stream. */
const LINGER_MS = 1_000;
const TYPES = ["application/json", "text/event-stream"];
/** A stream that can be taken up again: how often it is tried without success, and after how long first. */
const RESUMES = 2;
const RESUME_AFTER_MS = 1_000;
/** What a server may ask for in place of that. */
const RESUME_SOONEST_MS = 50;
const RESUME_LATEST_MS = 30_000;

interface Run {
  request: ClientRequest | null;
  isDropped: boolean;
}

export function createHttpExchanges(parts: HttpExchangesParts): HttpExchanges {
  const isTls = parts.url.protocol === "https:";
  const agent = new (isTls ? TlsAgent : Agent)({
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    timeout: IDLE_MS,
  });
  const { auth: _, ...address } = urlToHttpOptions(parts.url);
  const own = Object.fromEntries(
    Object.entries(parts.headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const accepted = (own["accept"] ?? "").split(",").map((type) => type.trim().toLowerCase());
  const accept = [...new Set([...accepted.filter((type) => type !== ""), ...TYPES])].join(", ");
  const runs = new Map<string, Run>();

  const open = (
    run: Run,
    method: "POST" | "GET",
    headers: Readonly<Record<string, string>>,
    body: string | null,
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const options = { ...address, agent, method, headers };
      const request = isTls ? httpsRequest(options) : httpRequest(options);
      run.request = request;
      let isConnected = false;
      let isAnswered = false;
      request.once("socket", (socket) => {
        isConnected = request.reusedSocket;
        if (isConnected) return;
        const late = setTimeout(() => {
          request.destroy(new NotSent("upstream_unavailable", "the server takes no connection"));
        }, CONNECT_MS);
        socket.once(isTls ? "secureConnect" : "connect", () => {
          isConnected = true;
          clearTimeout(late);
        });
        request.once("close", () => clearTimeout(late));
      });
      request.once("response", (response) => {
        isAnswered = true;
        resolve(response);
      });
      // E2: an open connection can break with the codes of one that was never made.
      request.on("error", (error) => reject(isConnected ? new Error(error.message) : error));
      request.once("close", () => {
        if (!isAnswered) reject(new Error("the connection ended before the answer"));
      });
      if (body === null) request.end();
      else request.end(body);
    });

  const takeJson = async (exchange: Exchange, response: IncomingMessage): Promise<void> => {
    const value: unknown = JSON.parse(await readText(response, parts.maxMessageBytes));
    let isAnswered = false;
    for (const one of Array.isArray(value) ? value : [value]) {
      const message = parseJSONRPCMessage(one);
      isAnswered ||= answers(message, exchange.message);
      exchange.deliver(message);
    }
    if (!isAnswered) throw new Error("the server's answer is to another request");
  };

  const takeStream = async (exchange: Exchange, run: Run, first: IncomingMessage): Promise<void> => {
    let response: IncomingMessage | null = first;
    let isAnswered = false;
    let last: string | undefined;
    let waitMs = RESUME_AFTER_MS;
    const take = (data: string): boolean => {
      try {
        const message = parseJSONRPCMessage(JSON.parse(data));
        isAnswered ||= answers(message, exchange.message);
        exchange.deliver(message);
        // The SDK hears of a notification a moment later than of a reply, and a reply ends the progress.
        return "method" in message && !("id" in message);
      } catch (error) {
        exchange.onerror(error as Error);
        return false;
      }
    };
    for (let failures = 0; response !== null;) {
      const reading = readEvents(response, parts.maxMessageBytes, {
        event(event) {
          if (event.id) last = event.id;
          const isMessage = event.event === undefined || event.event === "message";
          const waits = event.data !== "" && isMessage ? take(event.data) : false;
          if (isAnswered) endsSoon(response as IncomingMessage);
          return waits;
        },
        retry: (ms) => {
          waitMs = Math.min(Math.max(ms, RESUME_SOONEST_MS), RESUME_LATEST_MS);
        },
      });
      try {
        await reading;
      } catch (error) {
        if (isAnswered || run.isDropped) return;
        if (last === undefined || error instanceof TooLarge) throw error;
        exchange.onerror(error as Error);
      }
      if (isAnswered || run.isDropped) return;
      for (response = null; last !== undefined && response === null && failures < RESUMES;) {
        await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
        if (run.isDropped) return;
        response = await resumed(exchange, run, last).catch((error: unknown) => {
          exchange.onerror(error as Error);
          return null;
        });
        failures = response === null ? failures + 1 : 0;
        if (response === null) waitMs = Math.min(waitMs * 1.5, RESUME_LATEST_MS);
      }
    }
    throw new Error("the response stream ended before the reply");
  };

  const resumed = async ({ headers }: Exchange, run: Run, last: string): Promise<IncomingMessage | null> => {
    const { "mcp-session-id": session, "mcp-protocol-version": version } = headers;
    const again = {
      ...own,
      ...(session === undefined ? {} : { "mcp-session-id": session }),
      ...(version === undefined ? {} : { "mcp-protocol-version": version }),
      ...{ accept: "text/event-stream", "last-event-id": last },
    };
    const response = await open(run, "GET", again, null);
    if (response.statusCode === 200 && typeOf(response) === "text/event-stream") return response;
    response.destroy();
    return null;
  };

  const take = async (exchange: Exchange, run: Run, response: IncomingMessage): Promise<void> => {
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) return refuse(exchange, response, parts.maxMessageBytes);
    const encoding = response.headers["content-encoding"] ?? "identity";
    const type = status === 202 || encoding !== "identity" ? "" : typeOf(response);
    if (type === "application/json") return takeJson(exchange, response);
    if (type === "text/event-stream") return takeStream(exchange, run, response);
    response.destroy();
    const given = `HTTP ${status}, ${String(response.headers["content-type"])}, ${encoding}`;
    throw new SdkError(
      SdkErrorCode.ClientHttpUnexpectedContent,
      `unexpected content: ${given.slice(0, 200)}`,
    );
  };

  return {
    async run(exchange) {
      const key = String(exchange.message.id);
      const run: Run = { request: null, isDropped: false };
      const drop = (): void => {
        run.isDropped = true;
        run.request?.destroy();
      };
      if (exchange.signal?.aborted === true) throw new NotSent("upstream_unavailable", "it was taken back");
      runs.set(key, run);
      exchange.signal?.addEventListener("abort", drop, { once: true });
      try {
        const body = JSON.stringify(exchange.message);
        const headers = {
          ...own,
          ...exchange.headers,
          ...{
            accept,
            "content-type": "application/json",
            "content-length": String(Buffer.byteLength(body)),
          },
        };
        const post = (): Promise<IncomingMessage> => open(run, "POST", headers, body);
        const response = await post().catch((error: unknown) => {
          const isLost = run.request?.reusedSocket === true && !run.isDropped;
          if (isLost && exchange.message.method === "tools/list") return post();
          throw error;
        });
        await take(exchange, run, response);
      } catch (error) {
        if (!run.isDropped) exchange.onerror(error as Error);
        throw error;
      } finally {
        exchange.signal?.removeEventListener("abort", drop);
        if (runs.get(key) === run) runs.delete(key);
      }
    },
    drop(id) {
      const run = runs.get(String(id));
      if (run === undefined) return;
      run.isDropped = true;
      run.request?.destroy();
    },
    close() {
      for (const run of runs.values()) {
        run.isDropped = true;
        run.request?.destroy();
      }
      agent.destroy();
    },
  };
}

const typeOf = (response: IncomingMessage): string =>
  (response.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";

/** Some servers give a number back as text. */
const answers = (message: JSONRPCMessage, { id }: JSONRPCRequest): boolean =>
  !("method" in message) && String(message.id) === String(id);

/** What comes after the reply is of no use, but a stream that ends leaves a connection that can be used again. */
function endsSoon(response: IncomingMessage): void {
  const timer = setTimeout(() => response.destroy(), LINGER_MS).unref();
  response.once("close", () => clearTimeout(timer));
}

/** @throws NotSent for a redirect (E1), else SdkHttpError; an error of the protocol is a reply */
async function refuse(
  { message, deliver }: Exchange,
  response: IncomingMessage,
  limit: number,
): Promise<void> {
  const status = response.statusCode ?? 0;
  const redirect = redirectIn(status);
  if (redirect !== null) {
    response.destroy();
    throw redirect;
  }
  if (status === 400 && isModern(message)) {
    const text = await readText(response, limit);
    const reply = errorIn(text);
    if (reply !== null && answers(reply, message)) return deliver(reply);
  }
  response.destroy();
  const words = `the server answered HTTP ${status}`;
  throw new SdkHttpError(SdkErrorCode.ClientHttpNotImplemented, words, {
    status,
    statusText: response.statusMessage ?? "",
    text: "",
  });
}

function errorIn(text: string): JSONRPCMessage | null {
  try {
    const message = parseJSONRPCMessage(JSON.parse(text));
    return isJSONRPCErrorResponse(message) ? message : null;
  } catch {
    return null;
  }
}

/** Clients of 2026-07-28 name the revision in the request itself. */
export const revisionOf = ({ params }: JSONRPCRequest): string | null => {
  const meta = params?.["_meta"] as Readonly<Record<string, unknown>> | undefined;
  const revision = meta?.["io.modelcontextprotocol/protocolVersion"];
  return typeof revision === "string" ? revision : null;
};

const isModern = (message: JSONRPCRequest): boolean => (revisionOf(message) ?? "") >= "2026-07-28";
