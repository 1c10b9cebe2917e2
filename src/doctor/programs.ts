import { fail, fine, warn, type Check, type Finding } from "./check.ts";

const LEAST_NODE = [20, 19] as const;
/** `safe.directory` and friends from protected configuration only; `ssh-keygen -Y sign` with hash options. */
const LEAST = { git: [2, 36], ssh: [8, 9] } as const;

const atLeast = (found: readonly number[], least: readonly [number, number]): boolean =>
  (found[0] ?? 0) > least[0] || (found[0] === least[0] && (found[1] ?? 0) >= least[1]);
const numbers = (text: string): number[] => (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);

/** Node, git and ssh-keygen. */
export const checkPrograms: Check = {
  name: "programs",
  needs: "nothing",
  async look({ run }) {
    const findings: Finding[] = [];
    const node = process.versions.node;
    if (!atLeast(numbers(node), LEAST_NODE))
      findings.push(fail(`Node ${node}; ${LEAST_NODE.join(".")} is needed`, "install Node 20.19 or later"));
    const git = await run("git", ["--version"]);
    if (git === null || git.exitCode !== 0)
      findings.push(fail("git is not installed", "install git: deploy_service reads repositories with it"));
    else if (!atLeast(numbers(git.stdout), LEAST.git))
      findings.push(fail(`${git.stdout.trim()} is too old`, `install git ${LEAST.git.join(".")} or later`));
    // It has no flag for its version; ssh is of the same package and has.
    const ssh = await run("ssh", ["-V"]);
    const keygen = await run("ssh-keygen", ["-?"]);
    if (keygen === null)
      findings.push(
        warn("ssh-keygen is not installed", "install OpenSSH where people approve on the command line"),
      );
    else if (ssh !== null && !atLeast(numbers(ssh.stderr + ssh.stdout), LEAST.ssh))
      findings.push(
        warn(`${(ssh.stderr + ssh.stdout).trim()} is old`, `install OpenSSH ${LEAST.ssh.join(".")} or later`),
      );
    if (findings.length > 0) return findings;
    const versions = [`Node ${node}`, git?.stdout.trim(), ssh?.stderr.trim().split(",")[0]];
    return [fine(versions.filter(Boolean).join(", "))];
  },
};
