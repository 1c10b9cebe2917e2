import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  Client,
  PROTOCOL_VERSION_META_KEY,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  type PriorDiscovery,
  type Transport,
} from "@modelcontextprotocol/client";
import type { JsonObject } from "../base/canonical-json.ts";
import { createListReader, type Listed } from "./definition.ts";
import { ErrorReply, LostReply, NotSent } from "./failure.ts";
import { createRequests, type ProgressFacts, type RequestOptions } from "./requests.ts";

// One live connection to one upstream. The SDK's client finds out which era it is and greets; requests go past it.

export interface ConnectionParts {
  readonly alias: string;
  readonly version: string;
  /** For the greeting, and for each page of a list. */
  readonly connectTimeoutMs: number;
  /** What an earlier connection found out about the era, so that nobody is probed twice. */
  readonly prior: PriorDiscovery | null;
  createTransport(): Transport;
  onListChanged(): void;
  onError(message: string): void;
  /** It is over: the process ended, or we closed it. */
  onClose(): void;
}

export interface CallOptions extends Omit<RequestOptions, "progress"> {
  /** In words, and not more of them than can be read. */
  progress?(message: string): void;
}

export interface Connection {
  readonly era: "modern" | "legacy";
  readonly server: { readonly name: string; readonly version: string } | null;
  readonly capabilities: JsonObject;
  readonly prior: PriorDiscovery;
  /** The tools as the server lists them now. @throws NotSent, LostReply, ErrorReply */
  list(): Promise<Listed>;
  /** Any other request, lossless. @throws NotSent, LostReply, ErrorReply */
  request(method: string, params: JsonObject, options: CallOptions): Promise<JsonObject>;
  close(): Promise<void>;
}

const PROBE_TIMEOUT_MS = 10_000;
export const MAX_TOOLS = 20_000;
const MAX_PAGES = 2_000;

/** @throws NotSent where no connection came about */
export async function connect(parts: ConnectionParts): Promise<Connection> {
  try {
    return await connectOnce(parts, parts.prior);
  } catch (error) {
    // Some servers of the older era end when they are asked anything before `initialize`.
    if (parts.prior === null && isClosedEarly(error)) {
      try {
        return await connectOnce(parts, { kind: "legacy" });
      } catch (second) {
        throw unreachable(parts, second);
      }
    }
    throw unreachable(parts, error);
  }
}

const unreachable = (parts: ConnectionParts, cause: unknown): NotSent =>
  new NotSent("upstream_unavailable", `${parts.alias} can't be reached: ${wordsOf(cause)}`, { cause });

const isClosedEarly = (error: unknown): boolean =>
  error instanceof SdkError &&
  (error.code === SdkErrorCode.ConnectionClosed || error.code === SdkErrorCode.EraNegotiationFailed);

async function connectOnce(parts: ConnectionParts, prior: PriorDiscovery | null): Promise<Connection> {
  const self = { name: "countersign", title: "Countersign", version: parts.version };
  // Nothing is declared but on the calls that may ask (request/round.ts), and there what the agent's client takes.
  const capabilities = {};
  const client = new Client(self, {
    capabilities,
    versionNegotiation: {
      mode: "auto",
      probe: { timeoutMs: Math.min(PROBE_TIMEOUT_MS, parts.connectTimeoutMs) },
    },
  });
  client.onerror = (error) => parts.onError(error.message);
  const requests = createRequests(parts.createTransport());
  const { transport } = requests;
  let isOver = false;
  client.onclose = () => {
    requests.end();
    if (isOver) return;
    isOver = true;
    parts.onClose();
  };
  client.setNotificationHandler("notifications/tools/list_changed", () => parts.onListChanged());
  try {
    await client.connect(transport, {
      timeout: parts.connectTimeoutMs,
      ...(prior === null ? {} : { prior }),
    });
  } catch (error) {
    isOver = true;
    await client.close().catch(() => undefined);
    await transport.close().catch(() => undefined);
    throw error;
  }

  const isModern = client.getProtocolEra() === "modern";
  const envelope = isModern
    ? {
        [PROTOCOL_VERSION_META_KEY]: client.getNegotiatedProtocolVersion() ?? "",
        [CLIENT_INFO_META_KEY]: self,
        [CLIENT_CAPABILITIES_META_KEY]: capabilities,
      }
    : null;
  const request = async (
    method: string,
    params: JsonObject,
    { headers, progress, ...options }: CallOptions,
  ): Promise<JsonObject> => {
    if (options.signal.aborted)
      throw new NotSent("upstream_unavailable", "the time was up before it was sent");
    if (isOver) throw new NotSent("upstream_unavailable", "the connection has ended");
    try {
      return await requests.request(method, params, envelope, {
        ...options,
        ...(headers === undefined || !isModern ? {} : { headers }),
        ...(progress === undefined ? {} : { progress: tellNowAndThen(progress) }),
      });
    } catch (error) {
      throw meaningOf(error);
    }
  };

  const read = createListReader(parts.alias);
  const list = async (): Promise<Listed> => {
    const items: unknown[] = [];
    const cursors = new Set<string>();
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const result = await request("tools/list", cursor === undefined ? {} : { cursor }, {
        signal: AbortSignal.timeout(parts.connectTimeoutMs),
        timeoutMs: parts.connectTimeoutMs,
      });
      const { tools, nextCursor } = result as { readonly tools?: unknown; readonly nextCursor?: unknown };
      if (!Array.isArray(tools)) throw new LostReply("the server's list of tools is no list");
      for (const tool of tools) items.push(tool);
      if (items.length > MAX_TOOLS) throw new LostReply(`the server lists more than ${MAX_TOOLS} tools`);
      if (typeof nextCursor !== "string") return read(items);
      if (cursors.has(nextCursor)) throw new LostReply("the server's list of tools goes in circles");
      cursors.add(nextCursor);
      cursor = nextCursor;
    }
    throw new LostReply(`the server's list of tools has more than ${MAX_PAGES} pages`);
  };

  const discovered = client.getDiscoverResult();
  const info = client.getServerVersion();
  return {
    era: isModern ? "modern" : "legacy",
    server: info === undefined ? null : { name: info.name, version: info.version },
    capabilities: (client.getServerCapabilities() ?? {}) as JsonObject,
    prior: discovered === undefined ? { kind: "legacy" } : { kind: "modern", discover: discovered },
    list,
    request,
    async close() {
      isOver = true;
      await client.close().catch(() => undefined);
      await transport.close().catch(() => undefined);
    },
  };
}

/** HTTP answers given before anything is run. */
const TURNED_AWAY = new Set([401, 403, 404, 405, 406, 413, 415, 429]);

/** What an error of the SDK or of the network says about the call. */
function meaningOf(error: unknown): Error {
  if (error instanceof NotSent || error instanceof LostReply || error instanceof ErrorReply) return error;
  if (error instanceof SdkHttpError) {
    const status = error.status;
    if (status !== undefined && TURNED_AWAY.has(status)) {
      return new NotSent("upstream_refused", `the server answered HTTP ${status}`, { cause: error, status });
    }
    return new LostReply(`the server answered HTTP ${String(status)}`, {
      cause: error,
      ...(status === undefined ? {} : { status }),
    });
  }
  if (error instanceof SdkError) {
    if (error.code === SdkErrorCode.NotConnected) {
      return new NotSent("upstream_unavailable", "the connection has ended", { cause: error });
    }
    return new LostReply(`the answer can't be used: ${wordsOf(error)}`, { cause: error });
  }
  if (isRefusedConnection(error)) {
    return new NotSent("upstream_unavailable", `the server can't be reached: ${wordsOf(error)}`, {
      cause: error,
    });
  }
  return new LostReply(wordsOf(error), { cause: error });
}

/** Codes of a connection that was never made. */
const NEVER_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

function isRefusedConnection(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (code !== undefined) return NEVER_CONNECTED.has(code);
  }
  return false;
}

function wordsOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 3; at = at.cause) {
    if (at.message !== "") parts.push(at.message.slice(0, 500));
  }
  return parts.length === 0 ? String(error).slice(0, 500) : parts.join(": ");
}

/** What is told of the progress of one call: so many lines a second, and nothing of a flood's rest. */
const PROGRESS_PER_SECOND = 20;

function tellNowAndThen(tell: (message: string) => void): (progress: ProgressFacts) => void {
  let second = 0;
  let told = 0;
  return (progress) => {
    const now = Math.floor(performance.now() / 1_000);
    if (now !== second) told = 0;
    second = now;
    told += 1;
    if (told <= PROGRESS_PER_SECOND) tell(progressWords(progress));
  };
}

const progressWords = (progress: ProgressFacts): string => {
  const count =
    progress.total === undefined ? String(progress.progress) : `${progress.progress}/${progress.total}`;
  return progress.message === undefined ? count : `${count} ${progress.message}`;
};
