import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { isId } from "../base/id.ts";
import { neutralLine } from "../base/text.ts";
import { usage } from "./failure.ts";

/**
 * The checkpoints that a path holds: a checkpoint, a C2SP tlog-proof or a receipt; or a directory that a witness keeps, or
 * another home with one in it. Of several logs only those of `log`, if it is among them.
 */
export async function readCheckpoints(path: string, log: string | null): Promise<readonly string[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw unreadable(path);
  if (!found.isDirectory()) return [checkpointIn(await read(path))];
  const files = await filesOf(path, log);
  if (files.length === 0) {
    throw usage(`${neutralLine(path)} holds no checkpoint`, "name a file, or a place that a witness keeps");
  }
  return Promise.all(files.map(read));
}

async function filesOf(path: string, log: string | null): Promise<readonly string[]> {
  const names = await list(path);
  const logs = names.filter((name) => isId("log", name));
  const same = logs.filter((name) => name === log);
  const own = same.length > 0 ? same : logs;
  const nested = await Promise.all(own.map((name) => filesOfLog(join(path, name))));
  const here = names.includes("checkpoint") ? await filesOfLog(path) : [];
  const home = names.includes("countersign.yaml") ? await filesOf(join(path, "witness"), log) : [];
  return [...here, ...nested.flat(), ...home];
}

async function filesOfLog(path: string): Promise<readonly string[]> {
  const names = await list(path);
  const daily = (await list(join(path, "daily"))).filter((name) => /^\d{4}-\d{2}-\d{2}$/.test(name)).sort();
  return [
    ...(names.includes("checkpoint") ? [join(path, "checkpoint")] : []),
    ...daily.map((name) => join(path, "daily", name)),
  ];
}

const list = (path: string): Promise<string[]> => readdir(path).catch(() => []);

async function read(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => {
    throw unreadable(path);
  });
  // A log's own file is written in place and may end in what a power cut left.
  return basename(path) === "checkpoint" ? `${text.replace(/[\0\n]+$/, "")}\n` : text;
}

/** A proof carries its checkpoint after an empty line, a receipt as a member. */
function checkpointIn(text: string): string {
  if (text.startsWith("c2sp.org/tlog-proof@")) return text.slice(text.indexOf("\n\n") + 2);
  if (!text.startsWith("{")) return text;
  try {
    const { checkpoint } = JSON.parse(text) as { checkpoint?: unknown };
    return typeof checkpoint === "string" ? checkpoint : text;
  } catch {
    return text;
  }
}

const unreadable = (path: string): Error =>
  usage(`${neutralLine(path)} cannot be read`, "name a file that holds a signed checkpoint");
