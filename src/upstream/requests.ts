import type { JSONRPCMessage, Transport, TransportSendOptions } from "@modelcontextprotocol/client";
import type { JsonObject } from "../base/canonical-json.ts";
import { isJsonObject } from "../base/json-object.ts";
import { ErrorReply, LOCAL, LostReply } from "./failure.ts";

// Requests past the SDK's client, over the connection that it made: it greets, and hears what the server says of itself.
//
//   W1. Results arrive whole. On a connection of the 2026 era the client reads every result with the schemas of that
//       revision: a content block of a kind it does not know makes the whole result invalid, and a lost one is an unknown
//       outcome (X2).
//   W2. An answer belongs to the one request that has its id, ours or the client's. One to nothing that was asked, or
//       asked no more, reaches nobody: the client would make a number of whatever its id is.
//   W3. An answer that is none of the protocol's is a lost reply. So is one that did not come in time: the server is told
//       that nobody waits for it.

export interface RequestOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly meta?: JsonObject;
  /** HTTP headers of this request, for a server of 2026-07-28 behind a URL. */
  readonly headers?: Readonly<Record<string, string>>;
  progress?(progress: ProgressFacts): void;
}

export interface ProgressFacts {
  readonly progress: number;
  readonly total?: number;
  readonly message?: string;
}

export interface Requests {
  /** What the SDK's client is connected to. */
  readonly transport: Transport;
  /**
   * `envelope`: what every message says of its sender on a connection of 2026-07-28; null before that revision.
   * @throws ErrorReply, LostReply, and what the transport's `send` throws
   */
  request(
    method: string,
    params: JsonObject,
    envelope: JsonObject | null,
    options: RequestOptions,
  ): Promise<JsonObject>;
  /** The connection has ended: nothing that is under way gets an answer. */
  end(): void;
}

interface Open {
  readonly isModern: boolean;
  readonly progress: RequestOptions["progress"];
  settle(answer: JsonObject | Error): void;
}

/** The client counts from 0, and does not come this far. */
const FIRST_ID = 1_000_000_000;
const NO_ANSWER_IN_TIME = "no answer came in time";

export function createRequests(transport: Transport): Requests {
  const open = new Map<string, Open>();
  /** What the client asked and was not answered yet. */
  const theirs = new Set<string>();
  let next = FIRST_ID;

  const send = transport.send.bind(transport);
  transport.send = (message: JSONRPCMessage, options?: TransportSendOptions) => {
    if ("method" in message && "id" in message) theirs.add(String(message.id));
    return send(message, options);
  };
  let deliver: Transport["onmessage"];
  const receive: NonNullable<Transport["onmessage"]> = (message, extra) => {
    if (!("method" in message)) {
      const id = idIn(message.id);
      const one = open.get(id);
      if (one !== undefined) one.settle(answerIn(message, one.isModern));
      else if (theirs.delete(id)) deliver?.(message, extra);
      else transport.onerror?.(new Error("an answer to no request"));
      return;
    }
    if (message.method === "notifications/progress" && !("id" in message)) {
      const { progressToken, ...facts } = (message.params ?? {}) as Readonly<Record<string, unknown>>;
      const one = open.get(idIn(progressToken));
      if (one !== undefined) return one.progress?.(progressIn(facts));
    }
    deliver?.(message, extra);
  };
  // The SDK sets it on whatever it was given.
  Object.defineProperty(transport, "onmessage", {
    configurable: true,
    enumerable: true,
    get: () => (deliver === undefined ? undefined : receive),
    set: (handler: Transport["onmessage"]) => {
      deliver = handler;
    },
  });

  const withdraw = (requestId: number, envelope: JsonObject | null): void => {
    const meta = envelope === null ? {} : { _meta: envelope };
    const params = { requestId, reason: NO_ANSWER_IN_TIME, ...meta };
    send({ jsonrpc: "2.0", method: "notifications/cancelled", params }).catch((error: unknown) =>
      transport.onerror?.(error as Error),
    );
  };

  return {
    transport,
    request: (method, params, envelope, { signal, timeoutMs, meta, headers, progress }) =>
      new Promise((resolve, reject) => {
        const id = (next += 1);
        const key = String(id);
        const leaving =
          envelope !== null && transport.hasPerRequestStream === true ? new AbortController() : null;
        const settle = (answer: JsonObject | Error): void => {
          open.delete(key);
          clearTimeout(timer);
          signal.removeEventListener("abort", giveUp);
          if (answer instanceof Error) reject(answer);
          else resolve(answer);
        };
        const giveUp = (): void => {
          settle(new LostReply(NO_ANSWER_IN_TIME));
          if (leaving === null) withdraw(id, envelope);
          else leaving.abort();
        };
        const timer = setTimeout(giveUp, timeoutMs);
        signal.addEventListener("abort", giveUp, { once: true });
        open.set(key, { isModern: envelope !== null, progress, settle });
        const told: JsonObject = {
          ...envelope,
          ...(meta ?? (params["_meta"] as JsonObject | undefined)),
          ...(progress === undefined ? {} : { progressToken: id }),
        };
        const whole = Object.keys(told).length === 0 ? params : { ...params, _meta: told };
        const sending: TransportSendOptions = {
          ...(headers === undefined ? {} : { headers }),
          ...(leaving === null ? {} : { requestSignal: leaving.signal }),
        };
        send({ jsonrpc: "2.0", id, method, params: whole } as JSONRPCMessage, sending).catch(
          (error: unknown) =>
            settle(
              error instanceof Error ? error : new LostReply("it may not have been sent", { cause: error }),
            ),
        );
      }),
    end() {
      for (const { settle } of [...open.values()]) {
        settle(new LostReply("the connection ended before the answer"));
      }
    },
  };
}

/** Some servers give a number back as text. What is neither may be nothing that can become a text; no id is empty. */
const idIn = (given: unknown): string =>
  typeof given === "number" || typeof given === "string" ? String(given) : "";

const unusable = (why: string): LostReply => new LostReply(`the answer can't be used: ${why}`);

/** What an answer gives, in the words of its era (W3). */
function answerIn(message: object, isModern: boolean): JsonObject | Error {
  const { result, error } = message as { readonly result?: unknown; readonly error?: unknown };
  if (error !== undefined) return errorIn(error);
  if (!isJsonObject(result)) return unusable("its result is no object");
  const { resultType, ...whole } = result as JsonObject;
  if (!isModern) return whole;
  switch (resultType) {
    case "complete":
      return whole;
    case "input_required":
      return questionsIn(whole);
    case undefined:
      return unusable("its result has no resultType, which MCP 2026-07-28 demands");
    default:
      return unusable(
        typeof resultType === "string"
          ? `its result is of a type that is not known: ${JSON.stringify(resultType.slice(0, 100))}`
          : "the type of its result is no text",
      );
  }
}

function errorIn(given: unknown): Error {
  const { code, message, data } = (isJsonObject(given) ? given : {}) as Readonly<Record<string, unknown>>;
  if (!Number.isSafeInteger(code) || typeof message !== "string") return unusable("its error is none");
  if (code === LOCAL.tooLarge || code === LOCAL.lost) return new LostReply(message);
  return new ErrorReply({ code: code as number, message, ...(data === undefined ? {} : { data }) });
}

function questionsIn({ inputRequests, requestState, _meta }: JsonObject): JsonObject | Error {
  const questions: JsonObject = isJsonObject(inputRequests) ? inputRequests : {};
  if (Object.keys(questions).length === 0 && typeof requestState !== "string") {
    return unusable("it wants input, and says neither which nor a state");
  }
  return {
    resultType: "input_required",
    inputRequests: questions,
    ...(typeof requestState === "string" ? { requestState } : {}),
    ...(isJsonObject(_meta) ? { _meta } : {}),
  };
}

const progressIn = ({ progress, total, message }: Readonly<Record<string, unknown>>): ProgressFacts => ({
  progress: typeof progress === "number" ? progress : 0,
  ...(typeof total === "number" ? { total } : {}),
  ...(typeof message === "string" ? { message } : {}),
});
