import { createHash } from "node:crypto";
import { once } from "node:events";
import { ToolRefusal } from "../../src/tool.ts";
import type { RunningCommand } from "./command.ts";
import type { Git } from "./git.ts";

// Objects of the mirror, read by plumbing and believed only after their id was computed again from what was read: so
// the chain commit -> tree -> blob holds whatever replacements, grafts or a broken pack would have git say.

export type ObjectType = "commit" | "tree" | "blob" | "tag";

export interface GitObject {
  readonly type: ObjectType;
  readonly bytes: Buffer;
}

export interface ObjectReader {
  /**
   * An object by its id, checked against it.
   * @throws ToolRefusal `object_missing`, `object_forged`, `file_too_large`
   */
  read(oid: string, maxBytes: number): Promise<GitObject>;
  close(): Promise<void>;
}

export function openObjects(git: Git, mirrorDir: string, signal: AbortSignal): ObjectReader {
  const command = git.start({ args: ["cat-file", "--batch"], gitDir: mirrorDir, signal });
  const stream = readStream(command);
  // Asked at once, answered in order: git works ahead while we hash.
  let last: Promise<unknown> = Promise.resolve();

  const readOne = async (oid: string, maxBytes: number): Promise<GitObject> => {
    const head = /^([0-9a-f]{40}) (commit|tree|blob|tag) (\d{1,15})$/.exec(await stream.line());
    if (head === null) throw new ToolRefusal("object_missing", oid);
    const size = Number(head[3]);
    if (size > maxBytes) {
      // The rest of the answer is not worth reading.
      command.stop("output");
      throw new ToolRefusal("file_too_large", `${oid}: ${size} bytes, at most ${maxBytes} are read`);
    }
    const bytes = await stream.bytes(size);
    await stream.bytes(1);
    const type = head[2] as ObjectType;
    const found = createHash("sha1").update(`${type} ${size}\0`).update(bytes).digest("hex");
    if (found !== oid) throw new ToolRefusal("object_forged", `${oid} reads as ${found}`);
    return { type, bytes };
  };

  return {
    read(oid, maxBytes) {
      if (!/^[0-9a-f]{40}$/.test(oid)) return Promise.reject(new ToolRefusal("object_missing", oid));
      command.stdin.write(`${oid}\n`);
      const next = last
        .then(() => readOne(oid, maxBytes))
        .catch((error: unknown) => {
          signal.throwIfAborted();
          throw error;
        });
      last = next.catch(() => undefined);
      return next;
    },
    async close() {
      await last;
      command.stdin.end();
      command.stop("aborted");
      await command.end;
    },
  };
}

/** Reads an object that has to be of one type. @throws ToolRefusal */
export async function readTyped(
  reader: ObjectReader,
  oid: string,
  type: ObjectType,
  maxBytes: number,
): Promise<Buffer> {
  const object = await reader.read(oid, maxBytes);
  if (object.type !== type)
    throw new ToolRefusal("object_forged", `${oid} is a ${object.type}, not a ${type}`);
  return object.bytes;
}

function readStream(command: RunningCommand): {
  line(): Promise<string>;
  bytes(count: number): Promise<Buffer>;
} {
  let parts: Buffer[] = [];
  let have = 0;
  let ended = false;
  const { stdout } = command;
  stdout.on("end", () => (ended = true));
  stdout.on("close", () => (ended = true));
  command.end.catch(() => (ended = true));

  const more = async (): Promise<void> => {
    for (;;) {
      const chunk = stdout.read() as Buffer | null;
      if (chunk !== null) {
        parts.push(chunk);
        have += chunk.length;
        return;
      }
      if (ended) {
        const end = await command.end;
        throw new ToolRefusal("object_missing", end.stopped ?? end.stderr);
      }
      const wait = new AbortController();
      await Promise.race(
        ["readable", "end", "close"].map((name) => once(stdout, name, { signal: wait.signal })),
      )
        .catch(() => undefined)
        .finally(() => wait.abort());
    }
  };
  const take = (count: number): Buffer => {
    const all = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, have);
    parts = [all.subarray(count)];
    have -= count;
    return all.subarray(0, count);
  };
  return {
    async line() {
      for (;;) {
        const all = Buffer.concat(parts, have);
        parts = [all];
        const end = all.indexOf(10);
        if (end >= 0)
          return take(end + 1)
            .subarray(0, end)
            .toString("latin1");
        if (have > 1_024) throw new ToolRefusal("object_missing", "an answer without an end");
        await more();
      }
    },
    async bytes(count) {
      while (have < count) await more();
      return take(count);
    },
  };
}
