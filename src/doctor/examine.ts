import { isFault } from "../errors.ts";
import { fail, type Check, type Finding, type Patient, type Status } from "./check.ts";

export interface Examined extends Finding {
  readonly check: string;
}

export interface Diagnosis {
  /** The worst of all. */
  readonly status: Status;
  readonly findings: readonly Examined[];
}

/** Runs every check that has something to look at; one that can't be done is a finding like any other. */
export async function examine(patient: Patient, checks: readonly Check[]): Promise<Diagnosis> {
  const findings: Examined[] = [];
  let hasHome = true;
  for (const check of checks) {
    if (check.needs !== "nothing" && !hasHome) continue;
    if (check.needs === "settings" && patient.settings === null) continue;
    const found = await check.look(patient).catch((error: unknown): Finding[] => [unable(error)]);
    findings.push(...found.map((one) => ({ check: check.name, ...one })));
    if (check.name === "home") hasHome = found.every(({ status }) => status === "ok");
  }
  const worst = (["fail", "warn"] as const).find((status) => findings.some((one) => one.status === status));
  return { status: worst ?? "ok", findings };
}

function unable(error: unknown): Finding {
  const said = error instanceof Error ? error.message : String(error);
  return fail(
    `could not be looked at: ${said}`,
    (isFault(error) ? error.hint : undefined) ?? "run the doctor as the home's own account",
  );
}
