import { execFile } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  openSync,
  createWriteStream,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createCheckpointSigner, createLogKey } from "../src/log/checkpoint.ts";
import { createFrontier, leafHash, toHex } from "../src/log/merkle.ts";
import { verifyLog } from "../src/log/verify.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";

// How long a log takes to verify, against `openssl dgst -sha256` over the same bytes: every byte has to be hashed, so
// that is the floor. Taken in turns, on files that are in the page cache, the median of three.

const run = promisify(execFile);
const SEGMENT_BYTES = 64 * 1024 * 1024;
const LINE_BYTES = 2_048;
const ROUNDS = 3;

/** A million entries; a hundred thousand for a quick look. */
export const benchVerify: Bench = async ({ quick }) => {
  const entries = quick ? 100_000 : 1_000_000;
  const rows: BenchRow[] = [];
  for (const mix of ["received", "mixed"] as const) {
    const directory = mkdtempSync(
      join(process.env["COUNTERSIGN_BENCH_DIR"] ?? tmpdir(), "countersign-bench-"),
    );
    try {
      const key = await writeLog(directory, entries, mix);
      // Or what the system still writes to the disk would be measured too.
      for (const path of segments(directory)) {
        const file = openSync(path, "r+");
        fsyncSync(file);
        closeSync(file);
      }
      const count = entries.toLocaleString("en");
      const what = mix === "received" ? `${count} entries of 2 KB` : `${count} entries of allowed requests`;
      // One after the other: code that was compiled for both kinds of memory is slower, and no process verifies in both ways.
      for (const threads of ["one", "two"] as const) {
        const times: Record<"ours" | "reference", number[]> = { ours: [], reference: [] };
        for (let round = 0; round < ROUNDS; round += 1) {
          times.reference.push(await timed(() => opensslOver(directory)));
          times.ours.push(await timed(() => verify(directory, key, entries, threads === "one" ? 1 : 2)));
        }
        const [taken, reference] = [median(times.ours), median(times.reference)];
        rows.push({
          name: `verify ${what}, ${threads === "one" ? "one thread" : "two threads"}`,
          ours: `${taken.toFixed(2)} s`,
          reference: `${reference.toFixed(2)} s openssl dgst`,
          ratio: taken / reference,
          bar: mix === "mixed" ? null : threads === "one" ? "<= 1.7" : "<= 1.1",
        });
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  return rows;
};

async function verify(directory: string, key: string, entries: number, threads: 1 | 2): Promise<void> {
  const report = await verifyLog(directory, { key, threads });
  if (!report.ok || report.entries !== entries) {
    throw new Error(`the bench's own log does not verify: ${JSON.stringify(report.findings.slice(0, 3))}`);
  }
}

const segments = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .map((name) => join(directory, name));

const opensslOver = async (directory: string): Promise<void> => {
  await run("openssl", ["dgst", "-sha256", ...segments(directory)]);
};

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1_000;
}

/** Writes segments of 64 MiB and a checkpoint; the verifier key. */
export async function writeLog(
  directory: string,
  entries: number,
  mix: "received" | "mixed",
): Promise<string> {
  const logId = "log_01JD7Z0000000000000000000A";
  const signer = createCheckpointSigner({ key: createLogKey(), logId, isolation: "service" });
  const frontier = createFrontier();
  let segment = 0;
  let bytes = SEGMENT_BYTES;
  let out: ReturnType<typeof createWriteStream> | null = null;
  const close = async (): Promise<void> => {
    const stream = out;
    if (stream !== null) await new Promise<void>((done) => stream.end(done));
  };
  for (let seq = 0; seq < entries; seq += 1) {
    const line = Buffer.from(lineOf(seq, signer.vkey, mix));
    frontier.push(leafHash(line));
    if (bytes + line.length > SEGMENT_BYTES) {
      await close();
      segment += 1;
      bytes = 0;
      out = createWriteStream(join(directory, `${String(segment).padStart(6, "0")}.jsonl`), {
        highWaterMark: 1 << 20,
      });
    }
    bytes += line.length + 1;
    if (out?.write(Buffer.concat([line, NEWLINE])) === false) {
      await new Promise<void>((done) => out?.once("drain", done));
    }
  }
  await close();
  writeFileSync(
    join(directory, "checkpoint"),
    signer.signCheckpoint(entries, `sha256:${toHex(frontier.root())}`),
  );
  return signer.vkey;
}

const NEWLINE = Buffer.from("\n");
const START = Date.parse("2026-11-21T10:00:00.000Z");
const DIGEST = `sha256:${"5a".repeat(32)}`;

/** A line of the format with the length of the bench; the data of kinds that are only hashed is filler. */
function lineOf(seq: number, vkey: string, mix: "received" | "mixed"): string {
  const time = new Date(START + seq).toISOString();
  const line = (kind: string, subject: string, data: Record<string, unknown>): string => {
    const bare = `{"v":1,"seq":${seq},"time":"${time}","kind":"${kind}","subject":"${subject}","policy":null,"data":`;
    const filled = JSON.stringify({ ...data, filler: "" });
    return `${bare}${filled.slice(0, -2)}${"x".repeat(LINE_BYTES - bare.length - filled.length - 1)}"}}`;
  };
  if (seq === 0)
    return line("log.opened", "log", { log: "log_01JD7Z0000000000000000000A", key: vkey, countersign: "" });
  if (mix === "received") return line("request.received", `req_${String(seq).padStart(26, "0")}`, {});
  const request = `req_${String(Math.floor((seq - 1) / 6)).padStart(26, "0")}`;
  const grant = request.replace("req", "grt");
  switch ((seq - 1) % 6) {
    case 0:
      return line("request.received", request, {});
    case 1:
      return line("request.planned", request, { verdict: "allow", plan: { digest: DIGEST } });
    case 2:
      return line("grant.minted", request, {
        grant,
        basis: "verdict",
        question: null,
        plan: DIGEST,
        execute_by: new Date(START + seq + 600_000).toISOString(),
      });
    case 3:
      return line("execution.claimed", request, { grant, fence: 1 });
    case 4:
      return line("execution.dispatched", request, { grant, fence: 1 });
    default:
      return line("execution.settled", request, { grant, outcome: "done" });
  }
}
