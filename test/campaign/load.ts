import { spawn, type ChildProcess } from "node:child_process";
import type { Settings } from "../../src/config/settings.ts";
import { modernRequest } from "../support/rpc.ts";

// Clients of several gateways of one home: they keep calls outstanding, note what was answered, and send again what a
// dead gateway did not answer.

export interface Answered {
  /** Status by request id, as the last answer over the wire said. */
  readonly statuses: Map<string, string>;
  /** Requests that wait for people. */
  readonly pending: Set<string>;
  answers: number;
}

export interface LoadParts {
  readonly program: string;
  readonly settings: Settings;
  readonly world: string;
  readonly gateways: number;
  /** Calls outstanding per gateway. */
  readonly callers: number;
  readonly random: () => number;
  readonly answered: Answered;
}

export interface Load {
  /** Gateways that have answered at least once since they were started. */
  ready(): readonly number[];
  kill(slot: number): void;
  /** Ends them all; what arrives from now on does not count. */
  stop(): Promise<void>;
  /** From now on nothing that arrives counts, and nothing is started again. */
  freeze(): void;
  readonly complaints: readonly string[];
}

interface Call {
  readonly book: string;
  readonly text: string;
}

interface Slot {
  child: ChildProcess;
  isReady: boolean;
  readonly open: Map<number, Call>;
  next: number;
}

/** Starts the gateways and their clients. A gateway that ends is started again, until `stop` or `freeze`. */
export function startLoad(parts: LoadParts): Load {
  const { random, answered } = parts;
  const slots: Slot[] = [];
  const again: Call[] = [];
  const complaints: string[] = [];
  const ends: Promise<void>[] = [];
  let frozen = false;
  let made = 0;

  const newCall = (): Call => {
    made += 1;
    const word = random() < 0.1 ? "CANNOT_TELL" : "line";
    return { book: random() < 0.3 ? "held" : "free", text: `${word} ${made} ${Math.floor(random() * 1e9)}` };
  };
  const send = (slot: Slot): void => {
    if (frozen || slot.child.stdin?.writable !== true) return;
    const call = again.pop() ?? newCall();
    slot.next += 1;
    slot.open.set(slot.next, call);
    const message = modernRequest(slot.next, "tools/call", { name: "write_note", arguments: call });
    slot.child.stdin.write(`${JSON.stringify(message)}\n`);
  };
  const receive = (slot: Slot, line: string): void => {
    if (frozen) return;
    const message = JSON.parse(line) as {
      id?: number;
      result?: { structuredContent?: Record<string, unknown> };
    };
    if (message.id === undefined || !slot.open.delete(message.id)) return;
    slot.isReady = true;
    answered.answers += 1;
    const said = message.result?.structuredContent;
    const id = said?.["ticket"] ?? said?.["requestId"];
    if (said === undefined || typeof id !== "string") complaints.push(line.slice(0, 300));
    else {
      answered.statuses.set(id, String(said["status"]));
      if (said["status"] === "pending") answered.pending.add(id);
    }
    send(slot);
  };
  const start = (index: number): void => {
    const child = spawn(process.execPath, [parts.program, JSON.stringify(parts)], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const slot: Slot = { child, isReady: false, open: new Map(), next: 0 };
    slots[index] = slot;
    child.stdin?.on("error", () => undefined);
    let rest = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) receive(slot, line);
    });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    ends.push(
      new Promise((resolve) =>
        child.on("close", (code) => {
          // Sent again by another client, with the same words: it has to find its request.
          for (const call of slot.open.values()) if (random() < 0.7) again.push(call);
          if (!frozen && code !== null)
            complaints.push(`a gateway ended with ${code}: ${said.slice(0, 500)}`);
          if (!frozen && slots[index] === slot) start(index);
          resolve();
        }),
      ),
    );
    for (let i = 0; i < parts.callers; i += 1) send(slot);
  };
  for (let index = 0; index < parts.gateways; index += 1) start(index);

  const freeze = (): void => {
    frozen = true;
  };
  return {
    complaints,
    ready: () => [...slots.keys()].filter((index) => slots[index]?.isReady === true),
    kill(index) {
      const slot = slots[index] as Slot;
      slot.isReady = false;
      slot.child.kill("SIGKILL");
    },
    freeze,
    async stop() {
      freeze();
      for (const { child } of slots) child.kill("SIGKILL");
      await Promise.all(ends);
    },
  };
}
