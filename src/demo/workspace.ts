import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Surroundings } from "../config/environment.ts";
import { CountersignError } from "../errors.ts";
import { createSshKeyPair, type SshKeyPair } from "../base/ssh-signing-key.ts";
import { DEMO } from "./names.ts";

// A throwaway home with something real in it: a git repository with a small web shop, a directory of releases, an
// approver with a key. Its one service can reach nothing outside the workspace.

export interface DemoWorkspace {
  readonly home: string;
  readonly repository: string;
  readonly releases: string;
  /** Key of the demo approver, kept in the workspace so that `countersign approve --key` can use it too. */
  readonly approver: SshKeyPair;
  readonly approverKeyFile: string;
}

const run = promisify(execFile);

/**
 * Makes the workspace in a fresh temporary directory.
 * @throws CountersignError `CONFIG_INVALID` where git is missing
 */
export async function createDemoWorkspace(listeners: {
  readonly mcp: string;
  readonly api: string;
  readonly around: Pick<Surroundings, "account" | "env">;
}): Promise<DemoWorkspace> {
  const { around } = listeners;
  const git = gitIn(around);
  const home = await mkdtemp(join(tmpdir(), "countersign-demo-"));
  await chmod(home, 0o700);
  const repository = join(home, "workspace", "shop");
  const releases = join(home, "workspace", "releases");
  await mkdir(releases, { recursive: true, mode: 0o700 });
  await createShop(git, repository);

  const approver = createSshKeyPair("countersign demo approver");
  const approverKeyFile = join(home, "workspace", "demo-approver");
  await writeFile(approverKeyFile, approver.privateFile, { mode: 0o600 });
  await writeFile(`${approverKeyFile}.pub`, `${approver.publicLine}\n`);
  await writeFile(join(home, "policy.yaml"), demoPolicy(approver.fingerprint, around.account));
  await writeFile(join(home, "countersign.yaml"), demoConfig(repository, releases, listeners));
  return { home, repository, releases, approver, approverKeyFile };
}

/** The change that the demo's agent wants to bring out: one more commit on `main`. */
export async function commitNextVersion(
  repository: string,
  around: Pick<Surroundings, "env">,
): Promise<string> {
  const git = gitIn(around);
  await writeFile(join(repository, "index.html"), page("Shop", "Winter sale: all mugs 20 % off."));
  await writeFile(join(repository, "prices.json"), `${JSON.stringify({ mug: 8, poster: 15 }, null, 2)}\n`);
  await git(repository, "add", "--all");
  await git(repository, "commit", "--quiet", "-m", "start the winter sale");
  return (await git(repository, "rev-parse", "HEAD")).trim();
}

type Git = (cwd: string, ...args: readonly string[]) => Promise<string>;

async function createShop(git: Git, repository: string): Promise<void> {
  await mkdir(repository, { recursive: true });
  await git(repository, "init", "--quiet", "--initial-branch=main");
  await writeFile(join(repository, "index.html"), page("Shop", "Mugs and posters."));
  await writeFile(join(repository, "prices.json"), `${JSON.stringify({ mug: 10, poster: 15 }, null, 2)}\n`);
  await git(repository, "add", "--all");
  await git(repository, "commit", "--quiet", "-m", "open the shop");
}

const page = (title: string, text: string): string =>
  `<!doctype html>\n<title>${title}</title>\n<h1>${title}</h1>\n<p>${text}</p>\n`;

const gitIn =
  ({ env }: Pick<Surroundings, "env">): Git =>
  async (cwd, ...args) => {
    try {
      const { stdout } = await run("git", [...args], {
        cwd,
        env: {
          PATH: env["PATH"],
          HOME: cwd,
          GIT_CONFIG_NOSYSTEM: "1",
          GIT_CONFIG_GLOBAL: "/dev/null",
          GIT_AUTHOR_NAME: "Demo Developer",
          GIT_AUTHOR_EMAIL: "dev@example.com",
          GIT_COMMITTER_NAME: "Demo Developer",
          GIT_COMMITTER_EMAIL: "dev@example.com",
        },
      });
      return stdout;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
      throw new CountersignError("CONFIG_INVALID", "the demo needs git, and there is none on the PATH", {
        hint: "install git, then start the demo again",
        cause,
      });
    }
  };

const demoPolicy = (
  fingerprint: string,
  account: string,
): string => `# The demo's policy. Change it while the gateway runs: adopt: on_save loads a valid file at once.
# A gateway that guards something real uses adopt: signed, where people sign each change.
version: 1
adopt: on_save
people:
  ${DEMO.person}: { name: Demo Approver, ssh: ["${fingerprint}"] }
  ${DEMO.principal}: { name: Demo Developer, os: ["${account}"] }
groups:
  approvers: [${DEMO.person}]
agents:
  ${DEMO.agent}: { owners: [${DEMO.principal}] }
defaults:
  approve: { by: [approvers], quorum: 1, assurance: A2, within: 30m }
policy_change: { by: [approvers], quorum: 1, assurance: A2 }
rules:
  - id: deploys-need-a-person
    match: { tool: deploy_service }
    verdict: hold
    approve: { by: [approvers], quorum: 1, assurance: A2, within: 15m }
    because: every release is looked at by a person
  - id: never-delete-most-of-the-site
    match: { tool: deploy_service }
    when: preview.counts.files_removed > 10
    verdict: deny
    because: a release that removes more than ten files is made by hand
tests:
  - it: holds a deploy
    call: { tool: deploy_service, environment: demo, args: { service: shop, ref: main } }
    expect: { verdict: hold, rule: deploys-need-a-person, quorum: 1 }
`;

const demoConfig = (
  repository: string,
  releases: string,
  listeners: { readonly mcp: string; readonly api: string },
): string => `# The demo's registrations: what agents may name, and where it lives. Agents never see or say these paths.
version: 1
policy: policy.yaml
listeners: { mcp: "${listeners.mcp}", api: "${listeners.api}" }
stdio: { agent: ${DEMO.agent} }
services:
  ${DEMO.service}:
    description: the demo web shop
    repository: ${JSON.stringify(repository)}
    environment: ${DEMO.environment}
    releases: ${JSON.stringify(releases)}
    keep: 3
    health:
      run: [${JSON.stringify(process.execPath)}, -e, "require('fs').accessSync('index.html')"]
      timeout: 10s
`;
