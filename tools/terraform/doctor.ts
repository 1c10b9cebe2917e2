import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Check, Finding } from "../../src/doctor/check.ts";
import { checkTerraform } from "./binary.ts";
import type { WorkspaceRegistration } from "./registration.ts";

const LOOK_MS = 15_000;

/** Each registered workspace: its terraform is there and new enough, what it is set from can be read. */
export const checkWorkspaces: Check = {
  name: "workspaces",
  needs: "settings",
  async look(patient) {
    const registrations = await patient.registrations();
    if (!registrations.ok) return [];
    const workspaces = Object.entries(
      (registrations.value["workspaces"] ?? {}) as unknown as Record<string, WorkspaceRegistration>,
    );
    if (workspaces.length === 0) return [{ status: "ok", says: "none are registered" }];
    const findings: Finding[] = [];
    const home = await mkdtemp(join(tmpdir(), "countersign-doctor-"));
    try {
      for (const [name, registration] of workspaces) {
        const signal = AbortSignal.timeout(LOOK_MS);
        const found = await checkTerraform(registration, { env: patient.around.env, home, signal });
        for (const { ok, message, hint } of found) {
          const says = `${name}: ${message}`;
          findings.push(
            ok
              ? { status: "ok", says }
              : { status: "fail", says, next: hint ?? "correct the workspace in countersign.yaml" },
          );
        }
      }
    } finally {
      await rm(home, { recursive: true, force: true });
    }
    return findings;
  },
};
