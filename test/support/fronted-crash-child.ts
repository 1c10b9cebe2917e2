import fs from "node:fs";
import { pino } from "pino";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { ok } from "../../src/base/result.ts";
import { openHome } from "../../src/compose.ts";
import type { Settings } from "../../src/config/settings.ts";
import { createFronting } from "../../src/upstream/fronting.ts";
import { CALLER } from "./world.ts";

// A gateway process with a fronted server, that dies by kill -9 around its n-th batch: `unwritten-2` before the second is
// written, `torn-2` in the middle of it, `durable-2` once it is on the disk and before anybody is told. What the server
// did stands in the fixture's own file.

export interface CrashJob {
  readonly settings: Settings;
  readonly registrations: JsonObject;
  readonly root: string;
  readonly mode: string;
  readonly args: JsonObject;
  readonly callId: string;
  /** Waits for this request in place of calling. */
  readonly ticket: string | null;
}

const job = JSON.parse(process.argv[2] as string) as CrashJob;
const [, how, nth] = /^(unwritten|torn|durable)-(\d+)$/.exec(job.mode) ?? [];
const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  // The signal may take a moment; nothing more is done meanwhile.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
};
let left = Number(nth ?? Number.POSITIVE_INFINITY);

const log = pino({ level: "silent" });
const fronting = createFronting({
  version: "test",
  env: { PATH: process.env["PATH"], HOME: job.root },
  workRoot: `${job.root}/work`,
  log,
});
const home = await openHome(job.settings, {
  version: "test",
  log,
  create: false,
  makeTools: (given) => fronting.tools(given),
  closeTools: () => fronting.close(),
  readRegistrations: () => Promise.resolve(ok(job.registrations)),
});
if (how === "durable") {
  home.store.follow(() => {
    left -= 1;
    if (left === 0) die();
  });
} else if (how !== undefined) {
  const write = fs.writeSync as (...args: unknown[]) => number;
  const isBatch = (given: unknown): given is Uint8Array =>
    given instanceof Uint8Array &&
    /"kind":"(?:request|consent|grant|execution)\./.test(Buffer.from(given).toString("latin1"));
  fs.writeSync = ((...args: unknown[]): number => {
    const [fd, bytes, from = 0, length, position] = args;
    if (isBatch(bytes)) {
      left -= 1;
      if (left === 0) {
        if (how === "torn") write(fd, bytes, from, Math.floor(Number(length ?? bytes.length) / 2), position);
        die();
      }
    }
    return write(...args);
  }) as typeof fs.writeSync;
}
const attachment = { signal: new AbortController().signal, holdMs: job.ticket === null ? 0 : 30_000 };
const reply =
  job.ticket === null
    ? await home.gate.call(
        { tool: "fix__append", arguments: job.args, caller: CALLER, callId: job.callId },
        { ...attachment, holdMs: 30_000, handleAfterMs: 30_000 },
      )
    : await home.gate.wait(job.ticket, CALLER, attachment);
process.stdout.write(JSON.stringify(reply));
await home.close();
process.exit(0);
