import { chmodSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { missingForMain, openRealHome, type RealHome } from "../support/real-gateway.ts";
import { snapshotDirectory } from "../support/snapshot.ts";

// `countersign doctor` as a person runs it, on the home of an operator.

interface Said {
  readonly status: string;
  readonly findings: readonly { check: string; status: string; says: string; next?: string }[];
}

const missing = missingForMain();
describe.skipIf(missing !== null)(missing ?? "countersign doctor", { timeout: 60_000 }, () => {
  let home: RealHome;
  beforeEach(async () => {
    home = await openRealHome();
  });
  afterEach(() => home.close());
  const run = (...args: string[]) => home.run(["--home", home.home, "doctor", ...args]);
  const found = async (): Promise<Said> => JSON.parse((await run("--json")).out) as Said;
  const of = (said: Said, check: string) => said.findings.filter((one) => one.check === check);

  test("a sound home: lines with the next step where there is one, 0, and nothing was touched", async () => {
    const before = snapshotDirectory(home.root, () => false);
    const said = await run();
    expect(said.err).toBe("");
    expect(said.out).toMatch(/^ok {4}home +\S+ \(named by --home\)$/m);
    expect(said.out).toMatch(/^ok {4}services +web: repository and releases reached$/m);
    expect(said.out).toMatch(/^warn {2}isolation +none: .*\n +next: /m);
    expect(said.out).toMatch(/\d+ ok, \d+ to look at, 0 wrong\n$/);
    expect(said.code).toBe(0);
    expect(snapshotDirectory(home.root, () => false)).toBe(before);
  });

  test("beside a gateway that is at work, it finds it and its ports", async () => {
    const gateway = await home.start();
    const said = await found();
    expect(of(said, "gateway")).toMatchObject([{ status: "ok", says: expect.stringContaining(gateway.mcp) }]);
    expect(of(said, "ports")).toMatchObject([{ status: "ok" }]);
    expect(of(said, "locks")).toMatchObject([{ status: "ok" }]);
    await gateway.stop("SIGKILL");
    expect(of(await found(), "leftovers")).toMatchObject([{ status: "warn" }]);
  });

  test("services: a repository that is gone, a root that is missing, a program that can't run", async () => {
    renameSync(home.source.dir, `${home.source.dir}.gone`);
    rmSync(join(home.root, "lab"), { recursive: true });
    chmodSync(join(home.root, "command.sh"), 0o644);
    const said = await found();
    const services = of(said, "services");
    const says = services.map((one) => one.says).join("\n");
    expect(says).toMatch(/^web: .* can't be read over file$/m);
    expect(says).toMatch(/^lab: .*lab does not exist$/m);
    expect(says).toMatch(/command.sh can't be run$/m);
    expect(services.every((one) => one.status === "fail" && one.next !== undefined)).toBe(true);
    expect((await run()).code).toBe(1);
  });

  test("a configuration that does not load, or that everybody may write, is said with its place", async () => {
    const file = join(home.home, "countersign.yaml");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("hold:", "hodl:"));
    const said = await found();
    expect(of(said, "config")).toMatchObject([
      { status: "fail", says: expect.stringMatching(/:\d+:\d+ .*hodl/) },
    ]);
    // The files are looked at all the same.
    expect(of(said, "log")).toMatchObject([{ status: "ok" }]);
    writeFileSync(file, text);
    chmodSync(file, 0o666);
    expect(of(await found(), "config")).toMatchObject([
      { status: "fail", next: expect.stringMatching(/^chmod o-w/) },
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o666);
  });

  test("no home at all: 1, and how to make one", async () => {
    const said = await home.run(["--home", join(home.root, "nowhere"), "doctor"]);
    expect(said.out).toMatch(/^fail {2}home .*\n +next: .*countersign init/m);
    expect(said.code).toBe(1);
  });
});
