import { randomBytes } from "node:crypto";
import type { Adapter } from "lowdb";
import { dirname } from "node:path";
import { CountersignError } from "../../errors.ts";
import { readWhole, systemFiles, writeNewFile, type Files } from "./files.ts";

export interface DurableFileParts<T> {
  readonly path: string;
  /** In one piece, or in several between whose writing others get their turn. */
  readonly encode: (data: T) => string | Promise<readonly Uint8Array[]>;
  /** Null: the content is not usable and counts as absent. */
  readonly decode: (bytes: Buffer) => T | null;
  /** What to do when somebody else changed the file since it was read: lose their change, or refuse. */
  readonly whenChanged: "replace" | "refuse";
  readonly files?: Files;
}

/**
 * A lowdb adapter whose write is complete and durable when it resolves, or did not happen: unique temporary name,
 * fsync, rename, fsync of the directory. (lowdb's own neither flushes nor gives two processes two names.)
 * @throws CountersignError `CONFIG_INVALID` from `write` when the file changed and the part says refuse.
 */
export function createDurableFile<T>(parts: DurableFileParts<T>): Adapter<T> {
  const { path, encode, decode, whenChanged, files = systemFiles } = parts;
  let seen: string | undefined;
  const version = (): string => files.stat(path)?.version ?? "absent";
  return {
    read() {
      // Version first: a change between the two lines makes the next write refuse, never lose it.
      seen = version();
      const bytes = readWhole(files, path);
      return Promise.resolve(bytes === null ? null : decode(bytes));
    },
    async write(data) {
      const temporary = `${path}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`;
      try {
        const encoded = await encode(data);
        const pieces = typeof encoded === "string" ? [Buffer.from(encoded)] : encoded;
        await writeNewFile(files, temporary, pieces);
        if (whenChanged === "refuse" && seen !== undefined && version() !== seen) {
          throw new CountersignError("CONFIG_INVALID", `${path} was changed since it was read`, {
            hint: "look at the change, then try again",
          });
        }
        files.rename(temporary, path);
      } catch (error) {
        files.unlink(temporary);
        throw error;
      }
      await files.flushDirectory(dirname(path));
      seen = version();
    },
  };
}
