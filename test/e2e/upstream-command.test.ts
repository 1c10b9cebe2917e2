import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { PROGRAM } from "../support/real-gateway.ts";
import { FIXTURE } from "../support/upstream-world.ts";

// The commands that an operator types to pin what a server lists, on the bundled program and a server that runs.

const home = mkdtempSync(join(tmpdir(), "countersign-upstream-command-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));
chmodSync(home, 0o700);
writeFileSync(
  join(home, "countersign.yaml"),
  `version: 1
upstreams:
  fix:
    command: [${JSON.stringify(process.execPath)}, ${JSON.stringify(FIXTURE)}]
    env: { FIXTURE_DIR: ${JSON.stringify(home)} }
    environment: prod
  gone:
    command: [/nowhere/server]
    environment: prod
`,
);
const lock = join(home, "tools.lock.json");

const run = (...args: readonly string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, "--home", home, "upstream", ...args], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

test("look, accept, look again: the lock is stable, and a change is shown by its place and refused to be missed", async () => {
  expect(await run("diff", "fix")).toMatchObject({
    code: 1,
    out: expect.stringContaining("+ fix__append") as string,
  });
  // Nobody can be asked here, so nothing is taken over.
  expect((await run("accept", "fix")).err).toContain("needs a terminal, or --yes");
  expect(existsSync(lock)).toBe(false);

  expect(await run("accept", "fix", "append", "--yes", "--json")).toMatchObject({ code: 0 });
  const parsed = JSON.parse(readFileSync(lock, "utf8")) as { upstreams: { fix: { tools: object } } };
  expect(Object.keys(parsed.upstreams.fix.tools)).toEqual(["append"]);
  await run("accept", "fix", "--yes");
  const first = readFileSync(lock, "utf8");
  expect((await run("accept", "fix", "--yes")).out).toContain("nothing to accept");
  expect(readFileSync(lock, "utf8")).toBe(first);
  expect(await run("diff", "fix")).toMatchObject({ code: 0 });

  writeFileSync(join(home, "note"), " and \u202emore");
  const changed = await run("diff", "fix");
  expect(changed.code).toBe(1);
  expect(changed.out).toContain("~ fix__append  changed, destructive");
  expect(changed.out).toContain('/description: "append of the fixture" -> "append of the fixture and');
  expect(changed.out).not.toContain("\u202e");

  // A definition that was edited by hand is not the one that its digest says.
  writeFileSync(lock, first.replace("append of the fixture", "append of somebody"));
  const edited = await run("list", "fix");
  expect(edited.code).not.toBe(0);
  expect(edited.err).toContain("the digest is not that of the definition");
  writeFileSync(lock, first);
});

test("a server that can't be started is told with its reason, beside the one that can", async () => {
  const { code, out } = await run("list");
  expect(code).toBe(1);
  expect(out).toMatch(/gone: not reached: .*ENOENT/);
  expect(out).toContain("fix__append");
});

test("policy check knows the arguments of an accepted tool, and says where a condition names none", async () => {
  await run("accept", "fix", "--yes");
  const policy = (when: string): string => `version: 1
people: { ana: { name: Ana }, ben: { name: Ben, ssh: ["SHA256:iA0GtnLLCyNQUlD/Qk8zmcWUAPVoJHxnlyo3qRwJ2yU"] } }
groups: { sre: [ben] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 1, assurance: A2 }
rules:
  - id: one
    match: { tool: fix__append }
    when: ${JSON.stringify(when)}
    verdict: hold
`;
  const check = (): Promise<{ code: number; out: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [PROGRAM, "--home", home, "policy", "check"], (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out: out + err }),
      );
    });
  writeFileSync(join(home, "policy.yaml"), policy("args.dryRun == true"));
  expect(await check()).toMatchObject({ code: 0 });
  writeFileSync(join(home, "policy.yaml"), policy("args.dryRunn == true"));
  const wrong = await check();
  expect(wrong.code).toBe(1);
  expect(wrong.out).toMatch(/policy\.yaml:10.*dryRunn/s);
  expect(wrong.out).toContain("dryRun");
});
