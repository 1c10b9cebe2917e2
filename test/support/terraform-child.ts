import { createApplyInfrastructure, workspaceRegistration } from "../../tools/apply_infrastructure/tool.ts";
import { dyingContext, readJob, type DyingJob } from "./dying-context.ts";

// A process that applies one plan and dies at a given progress line.

export interface TerraformChildJob extends DyingJob {
  readonly entry: Record<string, unknown>;
  readonly stateDir: string;
}

const given = await readJob<TerraformChildJob>();
const { entry, stateDir, job } = given;
const tool = createApplyInfrastructure({
  workspaces: { shop: workspaceRegistration.parse(entry) },
  stateDir,
});
const { context, lines } = dyingContext(given);
const end = await tool.execute(job.plan, context).then(
  () => "done",
  (error: unknown) => String(error),
);
process.stdout.write(JSON.stringify({ lines: lines(), end }));
