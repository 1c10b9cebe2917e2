import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamRegistration } from "../../src/upstream/registration.ts";

// A process with connections to two servers that are commands, one of which takes no hint to end: `upstream-parent DIR`.

const [dir = ""] = process.argv.slice(2);
const pool = createPool({
  version: "t",
  env: { PATH: process.env["PATH"] },
  workRoot: tmpdir(),
  log: pino({ level: "silent" }),
});
const raw = fileURLToPath(new URL("raw-upstream.mjs", import.meta.url));
for (const mode of ["deaf", ""]) {
  const entry = { command: [process.execPath, raw], environment: "lab" };
  const env = { FIXTURE_DIR: dir, RAW_MODE: mode };
  await pool
    .upstream(`raw-${mode === "" ? "good" : mode}`, upstreamRegistration.parse({ ...entry, env }))
    .list(0);
}
process.stdout.write("connected\n");
process.stdin.on("end", () => void pool.close()).resume();
