import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable, Writable } from "node:stream";
import type { Logger } from "pino";
import { anySignal } from "../../base/any-signal.ts";
import { isJsonObject } from "../../base/json-object.ts";
import { CountersignError } from "../../errors.ts";
import { AGENT_HEADER } from "./http-names.ts";
import { readLines } from "./lines.ts";
import {
  cancelledIdOf,
  MAX_MESSAGE_BYTES,
  parseError,
  parseMessage,
  requestIdOf,
  type Message,
  type RpcId,
} from "./message.ts";
import { createArgumentHeaders, headerValue, mirrorHeaders, versionOf } from "./shim-headers.ts";
import { readEvents } from "./sse.ts";

// The stdio command where a gateway already serves the home: lines in, HTTP out, and back.
//
//   W1. It holds no key, credential or data of the home, only the token it is given; that goes to `url` and nowhere
//       else: redirects are not followed, and plain http only to loopback.
//   W2. Bodies pass as they came. A message is parsed only to know its id and the headers that must mirror it.
//   W3. A cancellation closes the response stream, and the gateway detaches. It never withdraws.

export interface ShimOptions {
  /** The MCP endpoint, e.g. `http://127.0.0.1:7331/mcp`. */
  readonly url: string;
  readonly token: string;
  /** Value of the stdio command's own `--agent` flag; the gateway believes it for the local token only. */
  readonly agent?: string;
  readonly log: Logger;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
}

/** How long a gateway that does not accept connections is tried again: it may be restarting. */
const RECONNECT_MS = 5_000;
const RETRY_EVERY_MS = 250;

/**
 * Forwards until the client closes its end or the process is told to stop.
 * @throws CountersignError `CONFIG_INVALID` for a url that the token must not be sent to
 */
export async function runShim(options: ShimOptions): Promise<void> {
  const url = endpoint(options.url);
  const stdin = options.stdin ?? process.stdin;
  const stdout = options.stdout ?? process.stdout;
  const open = new Map<RpcId, AbortController>();
  const work = new Set<Promise<void>>();
  const ending = new AbortController();
  // What a client of the older era learned in its handshake and has to repeat on every request.
  const legacy: { version: string | null; session: string | null } = { version: null, session: null };

  const write = (line: string): void => void stdout.write(`${line}\n`);
  const writeMessage = (message: Message): void => write(JSON.stringify(message));

  const forward = async (bytes: Uint8Array, message: Message): Promise<void> => {
    const id = requestIdOf(message);
    const mine = new AbortController();
    const { signal, release } = anySignal([mine.signal, ending.signal]);
    if (id !== null) open.set(id, mine);
    try {
      const post = (): Promise<IncomingMessage> =>
        connect(url, {
          headers: { ...headersOf(message, options, legacy), ...argumentHeaders.of(message) },
          body: bytes,
          signal,
        });
      const response = await post();
      // Nothing of a call that is answered so was looked at, so it is sent once more where that can help.
      const refusal = response.statusCode === 400 ? await readText(response) : null;
      const isWorthIt = refusal !== null && (await argumentHeaders.learn(message, refusal));
      if (isWorthIt) await relay(await post(), message, id);
      else await relay(response, message, id, refusal);
    } catch (error) {
      if (mine.signal.aborted || ending.signal.aborted) return;
      options.log.warn(
        { err: error instanceof Error ? error.message : String(error) },
        "gateway not reached",
      );
      if (id !== null) writeMessage(unreachable(id, url, error));
    } finally {
      release();
      if (id !== null && open.get(id) === mine) open.delete(id);
    }
  };

  const argumentHeaders = createArgumentHeaders(async (message) => {
    const body = Buffer.from(JSON.stringify(message));
    const headers = headersOf(message, options, legacy);
    const response = await connect(url, { headers, body, signal: ending.signal });
    if (!(response.headers["content-type"] ?? "").startsWith("text/event-stream")) return null;
    for await (const data of readEvents(response)) {
      const given = readAnswer(data);
      if (given?.["id"] === message["id"]) return given;
    }
    return null;
  });

  /** `read`: the answer's text, where it was read already. */
  const relay = async (
    response: IncomingMessage,
    message: Message,
    id: RpcId | null,
    read: string | null = null,
  ): Promise<void> => {
    const session = response.headers["mcp-session-id"];
    if (message["method"] === "initialize" && typeof session === "string") legacy.session = session;
    const type = response.headers["content-type"] ?? "";
    let answered = id === null;
    const take = (text: string): void => {
      const line = oneLine(text);
      const given = readAnswer(line);
      if (given === null) return;
      if (message["method"] === "initialize") legacy.version = agreedVersion(given) ?? legacy.version;
      const mirrors = "result" in given || "error" in given;
      if (mirrors && given["id"] === null && id !== null) {
        // A refusal from before the body was read does not know what it refuses.
        writeMessage({ ...given, id });
      } else write(line);
      if (mirrors) answered = true;
    };
    if (read === null && type.startsWith("text/event-stream")) {
      for await (const data of readEvents(response)) take(data);
    } else {
      const text = read ?? (await readText(response));
      if (type.startsWith("application/json") && text !== "") take(text);
    }
    if (!answered && id !== null) {
      const status = response.statusCode ?? 0;
      writeMessage(failure(id, `the gateway broke off its answer (HTTP ${status}); ${REPEAT}`));
    }
  };

  const stop = (): void => ending.abort();
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  ending.signal.addEventListener("abort", () => stdin.destroy(), { once: true });
  stdout.on("error", stop);
  try {
    for await (const line of readLines(stdin)) {
      if ("tooLong" in line) {
        writeMessage(parseError({ code: -32600, why: `a message may have ${MAX_MESSAGE_BYTES} bytes` }));
        continue;
      }
      const parsed = parseMessage(line.bytes);
      if (!parsed.ok) {
        writeMessage(parseError(parsed));
        continue;
      }
      const cancelled = cancelledIdOf(parsed.message);
      if (cancelled !== null) {
        open.get(cancelled)?.abort();
        continue;
      }
      const sent = forward(line.bytes, parsed.message);
      work.add(sent);
      void sent.finally(() => work.delete(sent));
      // The handshake's answer decides the headers of everything after it.
      if (parsed.message["method"] === "initialize") await sent;
    }
  } catch (error) {
    if (!ending.signal.aborted) options.log.debug({ err: String(error) }, "input broke off");
  } finally {
    process.removeListener("SIGTERM", stop);
    process.removeListener("SIGINT", stop);
    await settleSoon(work);
    ending.abort();
    await Promise.allSettled([...work]);
  }
}

const FAREWELL_MS = 250;

/** Answers that are on their way when the input ends still go out; held calls are left to their tickets. */
async function settleSoon(work: ReadonlySet<Promise<void>>): Promise<void> {
  if (work.size === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FAREWELL_MS);
  });
  await Promise.race([Promise.allSettled([...work]), late]);
  clearTimeout(timer);
}

function endpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const loopback = url !== null && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && loopback))) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `the gateway's url "${text}" is neither https nor http to loopback`,
      {
        hint: "a token sent over plain http to another machine can be read on the way",
      },
    );
  }
  return url;
}

/** MCP 2026-07-28, streamable HTTP: the headers that mirror the body; before it, version and session. */
function headersOf(
  message: Message,
  options: ShimOptions,
  legacy: { readonly version: string | null; readonly session: string | null },
): Record<string, string> {
  const headers: Record<string, string> = {
    authorization: `Bearer ${options.token}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
  };
  if (options.agent !== undefined) headers[AGENT_HEADER] = options.agent;
  const version = versionOf(message);
  if (version !== null) return { ...headers, ...mirrorHeaders(message, version) };
  if (message["method"] !== "initialize") {
    if (legacy.version !== null) headers["mcp-protocol-version"] = headerValue(legacy.version);
    if (legacy.session !== null) headers["mcp-session-id"] = headerValue(legacy.session);
  }
  return headers;
}

interface Post {
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

/** Posts once a connection stands. Only a refused connection is tried again: nothing was sent over it. */
async function connect(url: URL, post: Post): Promise<IncomingMessage> {
  const giveUpAt = performance.now() + RECONNECT_MS;
  for (;;) {
    try {
      return await send(url, post);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED" || performance.now() > giveUpAt)
        throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_EVERY_MS));
    post.signal.throwIfAborted();
  }
}

function send(url: URL, post: Post): Promise<IncomingMessage> {
  const open = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request: ClientRequest = open(
      url,
      {
        method: "POST",
        // A connection of its own for each message: a kept one that the gateway closed meanwhile would leave open
        // whether the message arrived, and on loopback it saves nothing that counts.
        agent: false,
        signal: post.signal,
        headers: { ...post.headers, "content-length": String(post.body.length) },
      },
      resolve,
    );
    request.on("error", reject);
    request.end(post.body);
  });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** JSON text on one line: a line end can only stand between tokens, where a space means the same. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ").trim();

/** What the gateway says is of any size and depth: the limits are for what it is sent. */
function readAnswer(text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

const agreedVersion = (answer: Message): string | null => {
  const version = (answer["result"] as Message | undefined)?.["protocolVersion"];
  return typeof version === "string" ? version : null;
};

const REPEAT =
  "a call that was under way is not lost: call again with the same arguments and it is recognised";

const failure = (id: RpcId, message: string): Message => ({
  jsonrpc: "2.0",
  id,
  error: { code: -32603, message },
});

const unreachable = (id: RpcId, url: URL, error: unknown): Message => {
  const refused = (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  return failure(
    id,
    refused
      ? `no gateway answers at ${url.origin}; start it with countersign start`
      : `the connection to the gateway at ${url.origin} broke; ${REPEAT}`,
  );
};
