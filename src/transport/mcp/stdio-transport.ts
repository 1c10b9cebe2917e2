import { parseJSONRPCMessage, type JSONRPCMessage, type Transport } from "@modelcontextprotocol/server";
import type { Readable, Writable } from "node:stream";
import { readLines } from "./lines.ts";
import {
  MAX_MESSAGE_BYTES,
  cancelledIdOf,
  parseError,
  parseMessage,
  requestIdOf,
  type Message,
  type RpcId,
} from "./message.ts";

/** A line-based connection that answers what is no message instead of dropping it. */
export interface StdioTransport extends Transport {
  /** Resolves when the client closed its end, or cannot be written to. */
  readonly ended: Promise<void>;
  /** Resolves when every request taken in was answered, after `ms` at the latest. */
  allAnswered(ms: number): Promise<void>;
}

export function createStdioTransport(stdin: Readable, stdout: Writable): StdioTransport {
  const open = new Set<RpcId>();
  let wake: () => void = () => undefined;
  let closed = false;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const write = (message: Message | JSONRPCMessage): Promise<void> =>
    new Promise((resolve, reject) => {
      stdout.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve()));
    });
  // Without a listener a reader that went away would take the process with it.
  stdout.on("error", () => end());

  const pump = async (): Promise<void> => {
    try {
      for await (const line of readLines(stdin)) {
        if (closed) break;
        const answer = "tooLong" in line ? TOO_LONG : deliver(line.bytes);
        if (answer !== null) await write(answer);
      }
    } catch {
      // A pipe that broke is an input that ended.
    }
    end();
  };
  const deliver = (bytes: Uint8Array): Message | null => {
    const parsed = parseMessage(bytes);
    if (!parsed.ok) return parseError(parsed);
    let message: JSONRPCMessage;
    try {
      message = parseJSONRPCMessage(parsed.message);
    } catch {
      return invalidRequest(parsed.message);
    }
    const id = requestIdOf(parsed.message);
    if (id !== null) open.add(id);
    const cancelled = cancelledIdOf(parsed.message);
    if (cancelled !== null) settle(cancelled);
    transport.onmessage?.(message);
    return null;
  };
  const settle = (id: RpcId): void => {
    open.delete(id);
    if (open.size === 0) wake();
  };

  const transport: StdioTransport = {
    ended,
    async start() {
      void pump();
    },
    async send(message) {
      if (closed) throw new Error("the connection is closed");
      await write(message);
      if (!("method" in message) && message.id !== undefined) settle(message.id);
    },
    async close() {
      if (closed) return;
      closed = true;
      stdin.destroy();
      end();
      transport.onclose?.();
    },
    async allAnswered(ms) {
      if (open.size === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
  };
  return transport;
}

const TOO_LONG = parseError({ code: -32600, why: `a message may have ${MAX_MESSAGE_BYTES} bytes` });

const invalidRequest = (message: Message): Message => {
  const id = message["id"];
  return {
    jsonrpc: "2.0",
    id: typeof id === "string" || typeof id === "number" ? id : null,
    error: { code: -32600, message: "not a JSON-RPC 2.0 message" },
  };
};
