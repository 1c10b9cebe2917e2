import fs from "node:fs";
import { join } from "node:path";
import { callSteps } from "./call-steps.ts";
import { bundleServer, connect, measure, timed, type Measured, type Side } from "./call-sides.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";
import { benchDir } from "./store-home.ts";

// What a call costs through the gateway: the same two tools behind it, in front of a server that has them, and served
// directly, each in a process of its own, called by a real MCP client over stdio and HTTP, in turns. A thousand rules,
// durable log. The log's disk is that of the working directory.

/** Milliseconds that an allowed read may add to one that is served directly over HTTP. */
const MAY_ADD_MS = 0.5;
/** What an allowed write may cost beyond a raw way through and its two flushes. */
const MAY_WORK_MS = 0.2;
/** 1,200 calls a second where direct does 1,850. */
const RATE_SHARE = 0.65;

/** One write and flush of what a call writes, on the disk of the log. */
export async function flushMs(dir: string): Promise<number> {
  const fd = fs.openSync(join(dir, "flushed"), "w");
  const bytes = Buffer.alloc(4_096, 1);
  const times: number[] = [];
  for (let i = 0; i < 60; i += 1) {
    times.push(
      await timed(() => {
        fs.writeSync(fd, bytes);
        return new Promise<void>((resolve, reject) => {
          fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()));
        });
      }),
    );
  }
  fs.closeSync(fd);
  return median(times);
}

const ms = (value: number): string => `${value.toFixed(2)} ms`;

/** What one way costs against the direct one, and against a way through that does nothing. */
export function rowsOf(
  name: string,
  over: "stdio" | "http",
  ours: Measured,
  { direct, raw, flush }: { readonly direct: Measured; readonly raw: Measured; readonly flush: number },
): readonly BenchRow[] {
  const http = over === "http";
  const floor = 2 * flush + MAY_WORK_MS;
  return [
    {
      name: `${name}, allowed read over ${over}, p50 added`,
      ours: ms(ours.read - direct.read),
      reference: `${MAY_ADD_MS} ms to ${ms(direct.read)} direct`,
      ratio: (ours.read - direct.read) / MAY_ADD_MS,
      bar: "<= 1",
    },
    {
      name: `${name}, allowed write over ${over}, p50 added`,
      ours: ms(ours.write - raw.write),
      reference: `${ms(floor)} for two flushes and work, to ${ms(raw.write)} ${http ? "raw" : "direct"}`,
      ratio: (ours.write - raw.write) / floor,
      bar: "<= 1",
    },
    {
      name: `${name}, reads a second over ${over}, 16 in flight`,
      ours: `${ours.rate.toFixed(0)}/s`,
      reference: `${direct.rate.toFixed(0)}/s direct`,
      ratio: ours.rate / direct.rate,
      bar: http ? `>= ${RATE_SHARE}` : null,
    },
  ];
}

/** Ways through that decide nothing: no gateway can cost less. */
const WAYS: Readonly<Record<string, string>> = {
  raw: "a raw way through",
  kept: "a raw way through that writes and flushes each request",
};

/** What a way costs against the direct one, with the bars that are the gateway's: they say what is in reach. */
const floorOf = (name: string, way: Measured, direct: Measured): readonly BenchRow[] => [
  {
    name: `${name}, read over http, p50 added`,
    ours: ms(way.read - direct.read),
    reference: `${MAY_ADD_MS} ms to ${ms(direct.read)} direct`,
    ratio: (way.read - direct.read) / MAY_ADD_MS,
    bar: null,
  },
  {
    name: `${name}, reads a second, 16 in flight`,
    ours: `${way.rate.toFixed(0)}/s`,
    reference: `${direct.rate.toFixed(0)}/s direct`,
    ratio: way.rate / direct.rate,
    bar: null,
  },
];

/** An allowed read and an allowed write through the gateway, against the same tools without it. */
export const callThrough: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  const rows: BenchRow[] = [];
  const sides: Side[] = [];
  const opened = async (side: Promise<Side>): Promise<Side> => {
    sides.push(await side);
    return side;
  };
  try {
    const program = await bundleServer(dir);
    for (const over of ["stdio", "http"] as const) {
      const direct = await opened(connect(program, "direct", over, dir));
      const behind = direct.url ?? "stdio";
      const all: Record<string, Side> = {
        direct,
        gate: await opened(connect(program, "gate", over, dir)),
        front: await opened(connect(program, "front", over, dir, behind)),
        ...(over === "http"
          ? {
              raw: await opened(connect(program, "raw", over, dir, behind)),
              kept: await opened(connect(program, "kept", over, dir, behind)),
            }
          : {}),
      };
      const flush = await flushMs(dir);
      const measured = await measure(all, quick ? 3 : 20, { quick });
      const base = measured["direct"] as Measured;
      const against = { direct: base, raw: measured["raw"] ?? base, flush };
      rows.push(...rowsOf("its own tool", over, measured["gate"] as Measured, against));
      rows.push(...rowsOf("fronting", over, measured["front"] as Measured, against));
      for (const [name, words] of Object.entries(WAYS)) {
        const way = measured[name];
        if (way !== undefined) rows.push(...floorOf(words, way, base));
      }
      for (const side of sides.splice(0)) await side.close();
    }
    return [...rows, ...(await callSteps(quick ? 40 : 200))];
  } finally {
    for (const side of sides) await side.close();
    remove();
  }
};
