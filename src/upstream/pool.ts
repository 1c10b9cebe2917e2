import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { PriorDiscovery } from "@modelcontextprotocol/client";
import type { Logger } from "pino";
import { canonicalJson, type JsonObject } from "../base/canonical-json.ts";
import { neutralise } from "../base/text.ts";
import { connect, type CallOptions, type Connection } from "./connection.ts";
import type { Listed } from "./definition.ts";
import { isShutOut, LostReply, NotSent } from "./failure.ts";
import { createHttpTransport } from "./http-transport.ts";
import type { UpstreamRegistration, ValueSource } from "./registration.ts";
import { plainEnvironment, resolveValues } from "./secrets.ts";
import { createStdioTransport } from "./stdio-transport.ts";
import { createWatchdog, type Watchdog } from "./watchdog.ts";

// The live side of `upstreams:`: one connection each, made when it is first needed and kept.
//
//   U1. One upstream never waits for another: each has its own connection, its own back-off and its own time.
//   U2. A connection belongs to one registration. Where that changed, the old connection ends and a new one is made.
//   U3. A call that rests on a list goes over the connection that gave the list.
//   U4. What ends a connection that is of no use any more lets the calls under way over it have their answers.
//   U5. Nothing of the gateway goes along: an upstream's process has the environment of its registration.
//   U6. A list is kept until the server says that it changed, and never in place of a younger one: whoever takes one that
//       is kept gets none from before what it was given itself.

export interface PoolParts {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * Where a command that names no directory gets an empty one of its own, 0700. Never the home: a server that takes its
   * working directory for what it may show would show keys.
   */
  readonly workRoot: string;
  readonly log: Pick<Logger, "debug" | "info" | "warn">;
  readonly maxMessageBytes?: number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/** What a server lists, and the connection over which it said so. */
export interface LiveList extends Listed {
  readonly over: number;
}

export interface Upstream {
  /**
   * The tools as the server lists them. `maxAgeMs` 0: asked for after this call, by this or by another caller.
   * @throws NotSent, LostReply, ErrorReply
   */
  list(maxAgeMs: number): Promise<LiveList>;
  /** With `over`: on that connection or not at all, because what was listed over it says nothing of another process. */
  request(
    method: string,
    params: JsonObject,
    options: CallOptions & { readonly over?: number },
  ): Promise<JsonObject>;
  /** Connects where it has to. */
  facts(): Promise<Pick<Connection, "era" | "server" | "capabilities">>;
}

export interface Pool {
  upstream(alias: string, entry: UpstreamRegistration): Upstream;
  close(): Promise<void>;
}

/** A reply above this is not taken. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;
/** A connection that stood so long was a good one: the next failure waits as the first did. */
const STABLE_MS = 60_000;

export function createPool(parts: PoolParts): Pool {
  const live = new Map<string, { readonly key: string; readonly line: Line }>();
  const watchdog = createWatchdog();
  /** Of entries as they were loaded, which nobody changes: one with hundreds of tools is not put into words per call. */
  const keys = new WeakMap<UpstreamRegistration, string>();
  const keyOf = (entry: UpstreamRegistration): string => {
    const known = keys.get(entry);
    if (known !== undefined) return known;
    const key = canonicalJson(entry);
    keys.set(entry, key);
    return key;
  };
  let isClosed = false;
  return {
    upstream(alias, entry) {
      if (isClosed) throw new NotSent("upstream_unavailable", "the gateway is stopping");
      const key = keyOf(entry);
      const known = live.get(alias);
      if (known?.key === key) return known.line;
      known?.line.retire();
      const line = createLine({ ...parts, watchdog }, alias, entry);
      live.set(alias, { key, line });
      return line;
    },
    async close() {
      isClosed = true;
      const all = [...live.values()];
      live.clear();
      await Promise.allSettled(all.map(({ line }) => line.close()));
      watchdog.close();
    },
  };
}

interface Line extends Upstream {
  /** Takes nothing more, and ends when what is under way has its answer. */
  retire(): void;
  close(): Promise<void>;
}

function createLine(
  parts: PoolParts & { readonly watchdog: Watchdog },
  alias: string,
  entry: UpstreamRegistration,
): Line {
  const now = parts.now ?? (() => performance.now());
  const log = createNoise(parts.log, alias, now);
  let connection: Connection | null = null;
  let connecting: Promise<Connection> | null = null;
  let prior: PriorDiscovery | null = null;
  let failures = 0;
  let notBefore = Number.NEGATIVE_INFINITY;
  let lastFailure = "";
  let since = 0;
  let isClosed = false;
  let isRetired = false;
  let inFlight = 0;
  /** Calls under way, of connections that have some. */
  const busy = new Map<Connection, number>();
  /** Connections that end with their last call (U4). */
  const ending = new Set<Connection>();
  /** How many connections there have been. */
  let connections = 0;
  let listed: { readonly at: number; readonly list: LiveList } | null = null;
  /** How often a server said that its list changed; one that was begun before is for nobody who comes after (U6). */
  let changes = 0;
  let listing: { readonly begun: number; readonly list: Promise<LiveList> } | null = null;

  const failed = (why: string): void => {
    failures += 1;
    lastFailure = why;
    notBefore = now() + Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS);
  };

  const open = async (): Promise<Connection> => {
    let mine: Connection | null = null;
    const limit = parts.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    try {
      const sources = entry.url === undefined ? entry.env : entry.headers;
      const own = {
        values: await resolveValues(sources, parts.env),
        workDir: join(parts.workRoot, alias),
      };
      log.hide(secretsAmong(sources, own.values));
      if (entry.url === undefined && entry.cwd === undefined) {
        await mkdir(own.workDir, { recursive: true, mode: 0o700 });
      }
      mine = await connect({
        alias,
        version: parts.version,
        connectTimeoutMs: entry.connect_timeout,
        prior,
        createTransport: () =>
          entry.url === undefined
            ? createStdioTransport({
                command: entry.command as readonly string[],
                cwd: entry.cwd ?? own.workDir,
                env: { ...plainEnvironment(parts.env), ...own.values },
                maxMessageBytes: limit,
                watchdog: parts.watchdog,
                onStderr: (line) => log.stderr(line),
                onGarbage: (count, line) => log.garbage(count, line),
              })
            : createHttpTransport({ url: entry.url, headers: own.values, maxMessageBytes: limit }),
        onListChanged: () => {
          listed = null;
          listing = null;
          changes += 1;
        },
        onError: (message) => log.error(message),
        onClose: () => {
          if (connection !== mine) return;
          connection = null;
          listed = null;
          if (isClosed) return;
          if (now() - since > STABLE_MS) failures = 0;
          failed("its connection ended");
          parts.log.warn({ upstream: alias }, "upstream ended; it is started again when it is needed");
        },
      });
    } catch (error) {
      // What was found out about the era may be what does not hold any more.
      prior = null;
      const why = log.words(error instanceof Error ? error.message : String(error));
      failed(why);
      parts.log.warn({ upstream: alias, why: plain(why), failures }, "upstream not reached");
      // Without its cause: that is whatever a library says of what it was given, which may be a secret.
      throw new NotSent(error instanceof NotSent ? error.code : "upstream_unavailable", why);
    }
    if (isClosed) {
      await mine.close();
      throw new NotSent("upstream_unavailable", "the gateway is stopping");
    }
    connection = mine;
    connections += 1;
    prior = mine.prior;
    since = now();
    listed = null;
    parts.log.info({ upstream: alias, era: mine.era, server: mine.server }, "upstream connected");
    return mine;
  };

  const connected = (): Promise<Connection> => {
    if (connection !== null) return Promise.resolve(connection);
    if (isClosed) return Promise.reject(new NotSent("upstream_unavailable", "the registration changed"));
    const wait = notBefore - now();
    if (connecting === null && wait > 0) {
      const words = `${alias} failed ${failures} times (${lastFailure}); it is tried again in ${Math.ceil(wait / 1_000)} s`;
      return Promise.reject(new NotSent("upstream_unavailable", words));
    }
    connecting ??= open().finally(() => {
      connecting = null;
    });
    return connecting;
  };

  /** Takes a new connection for what comes next (U4). */
  const leave = async (over: Connection): Promise<void> => {
    if (connection === over) {
      connection = null;
      listed = null;
    }
    if (busy.has(over)) ending.add(over);
    else await over.close().catch(() => undefined);
  };
  const ask = async (over: Connection, ...asked: Parameters<Connection["request"]>): Promise<JsonObject> => {
    inFlight += 1;
    busy.set(over, (busy.get(over) ?? 0) + 1);
    try {
      return await over.request(...asked);
    } finally {
      inFlight -= 1;
      const left = (busy.get(over) ?? 1) - 1;
      if (left > 0) busy.set(over, left);
      else busy.delete(over);
      if (left === 0 && ending.delete(over)) over.close().catch(() => undefined);
      if (isRetired && inFlight === 0) close().catch(() => undefined);
    }
  };

  const list = async (maxAgeMs: number): Promise<LiveList> => {
    const wanted = now();
    if (listed !== null && maxAgeMs > 0 && wanted - listed.at <= maxAgeMs && connection !== null) {
      return listed.list;
    }
    // One that began before this call may be of before a change; a reader that takes an older one may share it.
    if (listing !== null && wanted - listing.begun <= maxAgeMs) return listing.list;
    const begun = now();
    const unchanged = changes;
    const work = (async () => {
      let over = await connected();
      const given = await over.list().catch(async (error: unknown) => {
        // It turned us away: a session that it forgot, a token that was replaced. A new connection may be let in.
        if ((error instanceof NotSent || isShutOut(error)) && connection === over) {
          await leave(over);
          over = await connected();
          return over.list();
        }
        // Silent, and nobody's call under way that it could be busy with: a new process may do better.
        if (error instanceof LostReply && inFlight === 0 && connection === over) {
          failed(error.message);
          await leave(over);
        }
        throw error;
      });
      const fresh: LiveList = { ...given, over: connection === over ? connections : ENDED };
      const isNewest = changes === unchanged && (listed === null || listed.at <= begun);
      if (connection === over && isNewest) listed = { at: begun, list: fresh };
      // Answers are what makes a connection a good one.
      failures = 0;
      return fresh;
    })();
    const mine = { begun, list: work };
    listing = mine;
    try {
      return await work;
    } finally {
      if (listing === mine) listing = null;
    }
  };

  const close = async (): Promise<void> => {
    isClosed = true;
    const open = connection ?? (await connecting?.catch(() => null)) ?? null;
    connection = null;
    const all = open === null ? [...ending] : [open, ...ending];
    await Promise.all(all.map((one) => one.close()));
    ending.clear();
  };

  return {
    list,
    async request(method, params, { over: wanted, ...options }) {
      if (wanted !== undefined && (connection === null || wanted !== connections)) {
        throw new NotSent("upstream_unavailable", "the server was started again after its list was read");
      }
      const over = await connected();
      try {
        return await ask(over, method, params, options);
      } catch (error) {
        if (!isShutOut(error)) throw error;
        await leave(over);
        // What rests on no list is a read; what does has to look at the list again, over the next connection (U3).
        if (wanted !== undefined) throw error;
        return ask(await connected(), method, params, options);
      }
    },
    facts: connected,
    retire() {
      isRetired = true;
      if (inFlight === 0) close().catch(() => undefined);
    },
    close,
  };
}

/** No connection has this number. */
const ENDED = -1;

/** Values that were not written into the registration. */
const secretsAmong = (
  sources: Readonly<Record<string, ValueSource>>,
  values: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(values).flatMap(([name, value]) => {
      const source = sources[name];
      if (source === undefined || typeof source === "string") return [];
      const secret = value.slice(source.prefix?.length ?? 0);
      return secret.length < SHORTEST_SECRET ? [] : [[secret, name] as const];
    }),
  );
/** A shorter one would be found in every other word. */
const SHORTEST_SECRET = 6;

/** What an upstream writes beside the protocol: neutralised, without the secrets it was given, so many lines a minute. */
function createNoise(log: PoolParts["log"], alias: string, now: () => number) {
  const perMinute = 60;
  let secrets: ReadonlyMap<string, string> = new Map();
  const words = (text: string): string => {
    let shown = text;
    for (const [secret, name] of secrets) shown = shown.replaceAll(secret, `[${name}]`);
    return shown;
  };
  let minute = 0;
  let lines = 0;
  const mayLog = (): boolean => {
    const current = Math.floor(now() / 60_000);
    if (current !== minute) {
      if (lines > perMinute)
        log.warn({ upstream: alias, dropped: lines - perMinute }, "upstream lines left out");
      minute = current;
      lines = 0;
    }
    lines += 1;
    return lines <= perMinute;
  };
  return {
    words,
    hide(given: ReadonlyMap<string, string>): void {
      secrets = given;
    },
    stderr(line: string): void {
      if (line.trim() !== "" && mayLog())
        log.info({ upstream: alias, line: plain(words(line)) }, "upstream says");
    },
    garbage(count: number, line: string): void {
      const told = { upstream: alias, count, line: plain(words(line)) };
      if (mayLog()) log.warn(told, "not a message on the upstream's stdout");
    },
    error(message: string): void {
      if (mayLog()) log.debug({ upstream: alias, err: plain(words(message)) }, "upstream message not used");
    },
  };
}

const plain = (text: string): string =>
  neutralise(text.slice(0, 1_000).toWellFormed(), { lines: false }).text;
