import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "../../src/base/id.ts";
import type { Json, JsonObject } from "../../src/base/canonical-json.ts";
import type { Tool, ToolContext, ToolPreview } from "../../src/tool.ts";
import {
  createDeployService,
  serviceRegistration,
  type DeployServiceOptions,
} from "../../tools/deploy_service/tool.ts";
import { makeGitSource, type GitSource } from "./git-source.ts";

/** A service with a repository, a release root and a health command, all real, in a temporary directory. */
export interface DeployWorld {
  readonly dir: string;
  readonly source: GitSource;
  readonly root: string;
  readonly stateDir: string;
  /** What the health command wrote: one line a run, `phase release`. */
  healthRuns(): string[];
  /** The registration as the operator writes it. */
  entry: Record<string, unknown>;
  tool(options?: Partial<DeployServiceOptions>): Tool;
  context(options?: Partial<ToolContext> & { preview?: ToolPreview }): ToolContext;
  preview(ref?: string, tool?: Tool): Promise<ToolPreview>;
  /** Preview and execute. */
  deploy(
    ref?: string,
  ): Promise<{ readonly preview: ToolPreview; readonly output: JsonObject; readonly undo: Json }>;
  current(): string | null;
  served(path: string): string;
  remove(): void;
}

export function makeDeployWorld(): DeployWorld {
  const dir = mkdtempSync(join(tmpdir(), "cs-deploy-"));
  const source = makeGitSource(dir);
  const root = join(dir, "srv");
  const stateDir = join(dir, "state");
  mkdirSync(root, { mode: 0o755 });
  chmodSync(root, 0o755);
  mkdirSync(stateDir, { mode: 0o700 });
  const runs = join(dir, "health-runs");
  const health = join(dir, "health.sh");
  // Fails where the release says so; notes every run.
  writeFileSync(
    health,
    `#!/bin/sh\necho "$RELEASE_PHASE $RELEASE_ID" >> ${runs}\n[ -e "$RELEASE_DIR/fail-$RELEASE_PHASE" ] && exit 3\n[ ! -e "$RELEASE_DIR/slow" ] || sleep 30\nexit 0\n`,
    { mode: 0o755 },
  );
  let requests = 0;
  const world: DeployWorld = {
    dir,
    source,
    root,
    stateDir,
    entry: {
      repository: source.dir,
      environment: "demo",
      releases: root,
      keep: 3,
      refs: ["main", "release/*", "tags/v*"],
      check: { run: [health], timeout: "5s" },
      health: { run: [health], timeout: "5s" },
    },
    healthRuns() {
      try {
        return readFileSync(runs, "utf8").trimEnd().split("\n");
      } catch {
        return [];
      }
    },
    tool: (options = {}) =>
      createDeployService({
        services: { web: serviceRegistration.parse(world.entry) },
        stateDir,
        ...options,
      }),
    context(options = {}) {
      const { preview, ...rest } = options;
      return {
        signal: new AbortController().signal,
        requestId: newId("req", 1_700_000_000_000 + requests++ * 1_000),
        idempotencyKey: "key",
        workdir: dir,
        now: () => 1_700_000_000_000 + requests * 1_000,
        creds: (name) => Promise.reject(new Error(`no credential ${name}`)),
        file(name) {
          const found = preview?.files?.find((file) => file.name === name);
          return found === undefined
            ? Promise.reject(new Error(`no file ${name}`))
            : Promise.resolve(found.bytes);
        },
        progress: () => undefined,
        ...rest,
      };
    },
    preview: (ref = "main", tool = world.tool()) => tool.preview({ service: "web", ref }, world.context()),
    async deploy(ref = "main") {
      const tool = world.tool();
      const preview = await world.preview(ref, tool);
      const { output, undo } = await tool.execute(preview.plan, world.context({ preview }));
      return { preview, output: output as JsonObject, undo };
    },
    current() {
      try {
        return readlinkSync(join(root, "current"));
      } catch {
        return null;
      }
    },
    served: (path) => readFileSync(join(root, "current", path), "utf8"),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
  return world;
}
