import { EventEmitter, once } from "node:events";
import { PassThrough } from "node:stream";
import { readLines } from "../../src/transport/mcp/lines.ts";

/** The client's end of a pair of pipes: raw lines in, raw lines out. */
export interface RawPipe {
  readonly stdin: PassThrough;
  readonly stdout: PassThrough;
  send(message: unknown): void;
  sendBytes(bytes: string | Uint8Array): void;
  /** The next line that came out, parsed; fails after `ms`. */
  receive(ms?: number): Promise<Record<string, unknown>>;
  /** Whether nothing comes out for `ms`. */
  isSilent(ms: number): Promise<boolean>;
  end(): void;
}

export function createRawPipe(): RawPipe {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const ready: string[] = [];
  const arrived = new EventEmitter();
  void (async () => {
    for await (const line of readLines(stdout)) {
      if ("bytes" in line) ready.push(Buffer.from(line.bytes).toString());
      arrived.emit("line");
    }
  })();
  const arrival = async (ms: number): Promise<void> => {
    if (ready.length > 0) return;
    await once(arrived, "line", { signal: AbortSignal.timeout(ms) }).catch(() => undefined);
  };
  return {
    stdin,
    stdout,
    send: (message) => void stdin.write(`${JSON.stringify(message)}\n`),
    sendBytes: (bytes) => void stdin.write(bytes),
    async receive(ms = 5_000) {
      await arrival(ms);
      const line = ready.shift();
      if (line === undefined) throw new Error(`no line within ${ms} ms`);
      return JSON.parse(line) as Record<string, unknown>;
    },
    async isSilent(ms) {
      await arrival(ms);
      return ready.length === 0;
    },
    end: () => void stdin.end(),
  };
}
