import { spawn, type ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import type { JSONRPCMessage, Transport, TransportSendOptions } from "@modelcontextprotocol/client";
import { LOCAL, NotSent } from "./failure.ts";
import type { Watchdog } from "./watchdog.ts";
import { createLineSplitter, idOfCutLine } from "./lines.ts";

// A server that is a command. Ours and not the SDK's, because a fronted server is a stranger: it gets the environment it
// was given and not the gateway's, its messages are bounded, and what is no message on its stdout is counted.

export interface StdioTransportParts {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The child's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** A longer line is no message; where it was a reply, its call has lost it. */
  readonly maxMessageBytes: number;
  /** Is told the number of its process group when it begins, and when nothing of it is left. */
  readonly watchdog?: Pick<Watchdog, "watch" | "forget">;
  /** One line that it wrote on stderr. */
  onStderr(line: string): void;
  /** Lines on stdout that were no message, so many in all. */
  onGarbage(count: number, line: string): void;
}

/** Lines on stdout that are no messages; with more of them it is not a server. */
const MAX_GARBAGE = 1_000;
/** Messages that wait to be looked at; above it nothing more is read for now. */
const MAX_QUEUED = 1_000;
/** Messages that are looked at in one turn. */
const MAX_AT_ONCE = 100;
/** A process that does not end when its input does is told to, then made to. */
const GRACE_MS = 2_000;

export interface StdioTransport extends Transport {
  readonly pid: number | null;
  /** By this the SDK tells a pipe from HTTP. */
  readonly stderr: Readable | null;
}

export function createStdioTransport(parts: StdioTransportParts): StdioTransport {
  let child: ChildProcess | null = null;
  let isClosed = false;
  let garbage = 0;
  let exit: Promise<void> = Promise.resolve();

  const take = (line: Buffer): void => {
    let message: unknown;
    try {
      message = JSON.parse(line.toString("utf8"));
    } catch {
      return junk(line);
    }
    if (typeof message !== "object" || message === null || Array.isArray(message)) return junk(line);
    if ((message as { readonly jsonrpc?: unknown }).jsonrpc !== "2.0") return junk(line);
    enqueue(message as JSONRPCMessage, line.length);
  };
  // A chunk may hold a call's progress and its reply. The SDK hears of a notification a moment later than of a reply, and
  // a reply ends the progress; so what follows notifications waits for the next turn. While much waits, nothing is read:
  // a server that floods us with them fills its own pipe and not our memory.
  const queue: { readonly message: JSONRPCMessage; readonly bytes: number }[] = [];
  let queued = 0;
  let isWaiting = false;
  const enqueue = (message: JSONRPCMessage, bytes: number): void => {
    queue.push({ message, bytes });
    queued += bytes;
    deliver();
    if (queue.length > MAX_QUEUED || queued > parts.maxMessageBytes) child?.stdout?.pause();
  };
  const deliver = (): void => {
    if (isWaiting) return;
    let taken = 0;
    let toldSomething = false;
    for (const { message, bytes } of queue) {
      const isNotification = "method" in message && !("id" in message);
      if (toldSomething && !isNotification) break;
      toldSomething ||= isNotification;
      taken += 1;
      queued -= bytes;
      handOver(message);
      if (taken >= MAX_AT_ONCE) break;
    }
    queue.splice(0, taken);
    if (toldSomething || queue.length > 0) {
      isWaiting = true;
      setImmediate(() => {
        isWaiting = false;
        deliver();
      });
    } else if (child?.stdout?.isPaused() === true) child.stdout.resume();
  };
  /** A message that whoever reads it falls over, by its depth for one, is none: it ends neither the others nor us. */
  const handOver = (message: JSONRPCMessage): void => {
    try {
      transport.onmessage?.(message);
    } catch (error) {
      transport.onerror?.(error as Error);
    }
  };
  const junk = (line: Buffer): void => {
    if (line.length === 0) return;
    garbage += 1;
    parts.onGarbage(garbage, line.subarray(0, 200).toString("utf8"));
    if (garbage > MAX_GARBAGE) {
      transport.onerror?.(new Error(`more than ${MAX_GARBAGE} lines on stdout are no MCP messages`));
      kill();
    }
  };
  const tooLong = (head: Buffer, tail: Buffer, bytes: number): void => {
    const message = `the server sent a message of ${bytes} bytes; at most ${parts.maxMessageBytes} are taken`;
    const id = idOfCutLine(head, tail);
    if (id !== null) {
      return enqueue({ jsonrpc: "2.0", id, error: { code: LOCAL.tooLarge, message } }, 0);
    }
    // Whose reply it was can't be told: all calls under way have lost theirs.
    transport.onerror?.(new Error(message));
    kill();
  };

  const signal = (name: NodeJS.Signals): void => {
    const pid = child?.pid;
    if (child === null || pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      // Its own group: what it started ends with it.
      if (process.platform === "win32") child.kill(name);
      else process.kill(-pid, name);
    } catch {
      child.kill(name);
    }
  };
  const kill = (): void => signal("SIGKILL");
  /** What it started and left behind, at the moment it ended. */
  const killGroup = (pid: number | undefined): void => {
    if (pid === undefined || process.platform === "win32") return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nothing was left.
      return;
    }
  };

  const transport: StdioTransport = {
    get pid() {
      return child?.pid ?? null;
    },
    get stderr() {
      return child?.stderr ?? null;
    },
    start() {
      return new Promise((resolve, reject) => {
        const started = spawn(parts.command[0] as string, parts.command.slice(1), {
          cwd: parts.cwd,
          env: { ...parts.env },
          stdio: ["pipe", "pipe", "pipe"],
          windowsHide: true,
          detached: process.platform !== "win32",
        });
        child = started;
        if (started.pid !== undefined) parts.watchdog?.watch(started.pid);
        exit = new Promise((ended) => {
          const end = (): void => {
            ended();
            killGroup(started.pid);
            if (started.pid !== undefined) parts.watchdog?.forget(started.pid);
            if (isClosed) return;
            isClosed = true;
            transport.onclose?.();
          };
          started.once("error", (error) => {
            reject(error);
            end();
          });
          // Not "close": a grandchild that holds the pipes must not keep a dead server alive.
          started.once("exit", () => setImmediate(end));
        });
        started.once("spawn", () => resolve());
        started.stdin.on("error", (error) => transport.onerror?.(error));
        const split = createLineSplitter(parts.maxMessageBytes, take, tooLong);
        started.stdout.on("data", (chunk: Buffer) => split(chunk));
        const errors = createLineSplitter(
          4_096,
          (line) => parts.onStderr(line.toString("utf8")),
          (head) => parts.onStderr(`${head.toString("utf8")}…`),
        );
        started.stderr.on("data", (chunk: Buffer) => errors(chunk));
      });
    },
    send(message: JSONRPCMessage, _options?: TransportSendOptions) {
      const stdin = child?.stdin;
      if (isClosed || stdin === null || stdin === undefined || stdin.destroyed || !stdin.writable) {
        return Promise.reject(new NotSent("upstream_unavailable", "the server's process has ended"));
      }
      if (stdin.writableLength > parts.maxMessageBytes) {
        // Nothing of this one was written. It may ask faster than it reads, or not read at all.
        return Promise.reject(new NotSent("upstream_unavailable", "the server does not read its input"));
      }
      // From here on it may have arrived, whatever becomes of the pipe.
      return new Promise((resolve) => {
        stdin.write(`${JSON.stringify(message)}\n`, () => resolve());
      });
    },
    async close() {
      if (isClosed) return;
      child?.stdin?.end();
      if (!(await within(exit, GRACE_MS))) {
        signal("SIGTERM");
        if (!(await within(exit, GRACE_MS))) kill();
      }
      await exit;
    },
  };
  return transport;
}

async function within(ended: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = await Promise.race([ended.then(() => true), late]);
  clearTimeout(timer);
  return done;
}
