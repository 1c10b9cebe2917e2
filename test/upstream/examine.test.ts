import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { canonicalCopy, type JsonObject } from "../../src/base/canonical-json.ts";
import type { Finding, Patient } from "../../src/doctor/check.ts";
import { acceptInto, compareUpstreams } from "../../src/upstream/compare.ts";
import { examineUpstreams } from "../../src/upstream/examine.ts";
import { EMPTY_LOCK, formatLock, pinsOf, type Lock } from "../../src/upstream/lock.ts";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamsSchema, type UpstreamRegistrations } from "../../src/upstream/registration.ts";
import { fixtureEntry } from "../support/upstream-world.ts";

// What the doctor says of a home whose servers are gone, changed, or registered wrongly.

let home: string;
let lock: Lock;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "countersign-examine-"));
  lock = EMPTY_LOCK;
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const env = { PATH: process.env["PATH"], HOME: tmpdir() };
const parse = (entries: object): UpstreamRegistrations => upstreamsSchema.parse(entries);

async function accept(upstreams: UpstreamRegistrations): Promise<void> {
  const parts = { version: "t", env, workRoot: join(home, "work"), log: pino({ level: "silent" }) };
  const pool = createPool(parts);
  try {
    const compared = await compareUpstreams(upstreams, lock, pool, null);
    await acceptInto(
      { read: () => Promise.resolve(lock), write: (next) => Promise.resolve(void (lock = next)) },
      upstreams,
      pool,
      compared.flatMap(({ tools }) => tools).filter(({ state }) => state !== "unusable"),
    );
  } finally {
    await pool.close();
  }
  writeFileSync(join(home, "tools.lock.json"), formatLock(lock));
}

const examine = (upstreams: UpstreamRegistrations): Promise<readonly Finding[]> => {
  const pins = pinsOf(lock, Object.keys(upstreams));
  const registrations = canonicalCopy({ upstreams, pins } as unknown as JsonObject);
  return examineUpstreams({ home, around: { env } } as unknown as Patient, registrations, "t");
};

test("a server whose tools are as accepted is well", async () => {
  const upstreams = parse({ fix: fixtureEntry(home) });
  await accept(upstreams);
  expect(await examine(upstreams)).toEqual([
    {
      status: "ok",
      says: expect.stringMatching(/^fix: fixture 1\.0\.0, (\d+) of \1 tools as accepted$/) as string,
    },
  ]);
});

test("one whose tools changed is named with the command that shows how", async () => {
  const upstreams = parse({ fix: fixtureEntry(home) });
  await accept(upstreams);
  appendFileSync(join(home, "note"), " and more");
  expect(await examine(upstreams)).toEqual([
    {
      status: "warn",
      says: expect.stringMatching(/fix: fixture 1\.0\.0, 0 of (\d+) tools as accepted, \1 changed/) as string,
      next: expect.stringContaining("countersign upstream diff") as string,
    },
  ]);
});

test("one that can't be started is told beside one that can, without what it was given", async () => {
  const good = parse({ fix: fixtureEntry(home) });
  await accept(good);
  const upstreams = {
    ...good,
    ...parse({
      gone: { command: ["/nowhere/server"], env: { GRAPH_TOKEN: { from_env: "PATH" } }, environment: "lab" },
      poor: {
        command: ["/nowhere/server"],
        env: { A: { from_env: "COUNTERSIGN_NOT_SET" } },
        environment: "lab",
      },
    }),
  };
  const findings = await examine(upstreams);
  expect(findings.map(({ status }) => status)).toEqual(["ok", "fail", "fail"]);
  expect(findings[1]?.says).toMatch(/gone: .*ENOENT/);
  expect(findings[2]?.says).toContain("COUNTERSIGN_NOT_SET");
  expect(JSON.stringify(findings)).not.toContain(String(env.PATH));
});

test("an entry that asks for what the accepted tool does not have is a failure of its own", async () => {
  const upstreams = parse({
    fix: fixtureEntry(home, {
      entry: {
        tools: {
          append: { dry_run: { argument: "pretend", value: true } },
          fail: { before: { tool: "leak_env", args: {} } },
        },
      },
    }),
  });
  await accept(upstreams);
  const findings = await examine(upstreams);
  expect(findings.filter(({ status }) => status === "fail").map(({ says }) => says)).toEqual([
    expect.stringContaining('fix__append: dry_run names the argument "pretend"'),
    expect.stringContaining('fix__fail: before names the tool "leak_env", which is no read'),
  ]);
});

test("a lock that was edited by hand is told before any server is started", async () => {
  const upstreams = parse({ fix: fixtureEntry(home) });
  await accept(upstreams);
  writeFileSync(
    join(home, "tools.lock.json"),
    formatLock(lock).replace("append of the fixture", "other words"),
  );
  expect(await examine(upstreams)).toEqual([
    {
      status: "fail",
      says: expect.stringContaining("the digest is not that of the definition") as string,
      next: "restore it from git",
    },
  ]);
});
