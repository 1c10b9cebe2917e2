import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import type { JsonObject } from "../base/canonical-json.ts";
import type { Finding, Patient } from "../doctor/check.ts";
import { compareUpstreams, type ComparedUpstream } from "./compare.ts";
import { LOCK_FILE } from "./lock.ts";
import { makeUpstreamTools } from "./make-tools.ts";
import { createPool } from "./pool.ts";
import { readLock } from "./read-registrations.ts";
import type { UpstreamRegistrations } from "./registration.ts";

const SILENT: Pick<Logger, "debug" | "info" | "warn"> = { debug() {}, info() {}, warn() {} };

/** What the doctor says of fronted servers: each is started, asked for its list, and ended again. */
export async function examineUpstreams(
  patient: Patient,
  registrations: JsonObject,
  version: string,
): Promise<readonly Finding[]> {
  const lock = await readLock(join(patient.home, "countersign.yaml"));
  if (!lock.ok) {
    return [
      { status: "fail", says: lock.error[0] ?? `${LOCK_FILE} does not load`, next: "restore it from git" },
    ];
  }
  const entries = registrations["upstreams"] as unknown as UpstreamRegistrations;
  const workRoot = await mkdtemp(join(tmpdir(), "countersign-doctor-"));
  const pool = createPool({ version, env: patient.around.env, workRoot, log: SILENT });
  try {
    const compared = await compareUpstreams(entries, lock.value, pool, null);
    const { problems } = makeUpstreamTools(registrations, () => Promise.resolve(pool));
    return [
      ...compared.map(findingOf),
      ...problems.map(({ tool, why }): Finding => ({
        status: "fail",
        says: `${tool}: ${why}`,
        next: "correct its entry in countersign.yaml",
      })),
    ];
  } finally {
    await pool.close();
    await rm(workRoot, { recursive: true, force: true });
  }
}

function findingOf({ upstream, unreached, tools, server }: ComparedUpstream): Finding {
  if (unreached !== null) {
    return {
      status: "fail",
      says: `${upstream}: ${unreached}`,
      next: "start it by hand as the gateway's account, with the environment of its entry and no other",
    };
  }
  const count = (state: string): number => tools.filter((tool) => tool.state === state).length;
  const differing = (["new", "changed", "gone"] as const)
    .map((state) => ({ state, n: count(state) }))
    .filter(({ n }) => n > 0)
    .map(({ state, n }) => `${n} ${state}`);
  const says = `${upstream}: ${server ?? "a server"}, ${count("accepted")} of ${tools.length} tools as accepted`;
  return differing.length === 0
    ? { status: "ok", says }
    : {
        status: "warn",
        says: `${says}, ${differing.join(", ")}`,
        next: "look at them: countersign upstream diff",
      };
}
