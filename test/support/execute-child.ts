import { createDeployService, serviceRegistration } from "../../tools/deploy_service/tool.ts";
import { dyingContext, readJob, type DyingJob } from "./dying-context.ts";

// A process that executes one plan and dies at a given progress line.

export interface ChildJob extends DyingJob {
  readonly entry: Record<string, unknown>;
  readonly stateDir: string;
}

const given = await readJob<ChildJob>();
const { entry, stateDir, job } = given;
const tool = createDeployService({ services: { web: serviceRegistration.parse(entry) }, stateDir });
const { context, lines } = dyingContext(given);
process.stderr.write("started\n");
const end = await tool.execute(job.plan, context).then(
  () => "done",
  (error: unknown) => String(error),
);
process.stdout.write(JSON.stringify({ lines: lines(), end }));
