import { constants } from "node:fs";
import { access, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Check, Finding } from "../../src/doctor/check.ts";
import { createGit } from "../git/git.ts";
import { protocolOf } from "../git/repository.ts";
import type { ServiceRegistration } from "./registration.ts";

const CONTACT_MS = 15_000;

/** Each registered service: its repository can be read, its release root written, its programs run. */
export const checkServices: Check = {
  name: "services",
  needs: "settings",
  async look({ settings }) {
    const services = Object.entries(settings?.services ?? {}) as [string, ServiceRegistration][];
    if (services.length === 0) return [{ status: "ok", says: "none are registered" }];
    const findings: Finding[] = [];
    for (const [name, service] of services) {
      const problems = [
        await repositoryProblem(service),
        await releasesProblem(service),
        ...(await Promise.all([service.check, service.health].map(programProblem))),
      ].filter((one) => one !== null);
      for (const { says, ...rest } of problems) findings.push({ ...rest, says: `${name}: ${says}` });
      if (problems.length === 0)
        findings.push({ status: "ok", says: `${name}: repository and releases reached` });
    }
    return findings;
  },
};

/** Asks the repository as a preview would, from an empty directory that is removed again. */
async function repositoryProblem(service: ServiceRegistration): Promise<Finding | null> {
  if (service.credential !== undefined) {
    return {
      status: "warn",
      says: `${service.repository} needs the credential ${service.credential.name}, and was not contacted`,
      next: "try it: countersign policy check, then a first deployment that nobody approves",
    };
  }
  for (const file of service.ssh === undefined ? [] : [service.ssh.identity, service.ssh.known_hosts]) {
    if (!(await can(file, constants.R_OK)))
      return {
        status: "fail",
        says: `${file} can't be read`,
        next: "give the gateway's account read access",
      };
  }
  const stateDir = await mkdtemp(join(tmpdir(), "countersign-doctor-"));
  try {
    const git = createGit({ binary: "git", stateDir, timeoutMs: CONTACT_MS });
    const signal = AbortSignal.timeout(CONTACT_MS);
    await git.ensureUsable(signal);
    const remote = git.remote(service, null);
    const end = await git.run({
      args: ["ls-remote", "--quiet", ...remote.args, "--end-of-options", remote.url, "HEAD"],
      remote,
      signal,
    });
    if (end.code === 0) return null;
    return {
      status: "fail",
      says: `${service.repository} can't be read over ${protocolOf(service.repository)}`,
      next: "check its address and access as the gateway's account; git says why: git ls-remote",
    };
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function releasesProblem({ releases }: ServiceRegistration): Promise<Finding | null> {
  const found = await stat(releases).catch(() => null);
  if (found === null)
    return {
      status: "fail",
      says: `${releases} does not exist`,
      next: `make it, owned by the gateway's account`,
    };
  if (!found.isDirectory())
    return { status: "fail", says: `${releases} is not a directory`, next: "register another one" };
  if (await can(releases, constants.W_OK | constants.X_OK)) return null;
  return {
    status: "fail",
    says: `${releases} can't be written`,
    next: "give it to the gateway's account (and name it in ReadWritePaths of its service)",
  };
}

async function programProblem(command: ServiceRegistration["check"]): Promise<Finding | null> {
  const program = command?.run[0];
  if (program === undefined || (await can(program, constants.X_OK))) return null;
  return { status: "fail", says: `${program} can't be run`, next: "install it, or correct the registration" };
}

const can = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
