import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { eventually } from "../support/client-matrix.ts";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type RealHome } from "../support/real-gateway.ts";

// The world moves between the question and the execution: what was approved is not what would run, so nothing runs.

const missing = missingForMain();
const kind = CLIENT_KINDS.find(
  (one) => one.name === "v2 SDK, 2026-07-28, over stdio",
) as (typeof CLIENT_KINDS)[number];
const args = { service: "web", ref: "main" };

describe.skipIf(missing !== null)(missing ?? "a world that moved", () => {
  let home: RealHome;
  let client: TestClient;
  afterEach(async () => {
    await client.close();
    await home.demandVerified();
    await home.close();
  });

  const deployFirst = async (): Promise<void> => {
    const call = client.call("deploy_service", args);
    const { request } = await home.nextPending();
    await home.approve(request);
    expect((await call).data).toMatchObject({ status: "done" });
  };
  const holdNext = async (): Promise<{ request: string; call: Promise<Record<string, unknown>> }> => {
    home.source.commit({ "index.html": "<p>second</p>\n" }, "second");
    home.source.git("branch", "second");
    const call = client.call("deploy_service", { ...args, ref: "second" }).then((answer) => answer.data);
    call.catch(() => undefined);
    return { request: (await home.nextPending()).request, call };
  };

  test.each<[string, (home: RealHome) => void]>([
    [
      "the ref was moved",
      (at) => {
        at.source.commit({ "index.html": "<p>other</p>\n" }, "other");
        at.source.git("branch", "-f", "second");
      },
    ],
    ["the ref was removed", (at) => void at.source.git("branch", "-D", "second")],
    [
      "another release was switched to by hand",
      (at) => {
        const current = join(at.releases, "current");
        rmSync(current);
        symlinkSync("releases/by-hand", current);
      },
    ],
    [
      "a file of the live release was edited by hand",
      (at) => writeFileSync(join(at.releases, at.current() ?? "", "index.html"), "<p>edited</p>\n"),
    ],
  ])("%s: the approved request is stale, and nothing runs", async (_, move) => {
    home = await openRealHome({ hold: "15s" });
    client = await kind.connect(home.stdio());
    await deployFirst();
    const { request, call } = await holdNext();
    move(home);
    const before = home.outside();
    expect((await home.approve(request)).out).toContain("granted");
    const answer = await call;
    expect(answer).toMatchObject({ status: "refused", code: "stale", class: "stale", requestId: request });
    expect(home.outside()).toBe(before);
    expect(
      home
        .entries()
        .filter((entry) => entry.subject === request)
        .map((entry) => entry.kind),
    ).not.toContain("execution.dispatched");
    // Asked again, the call is a new request with a new plan; what it finds is said, and nobody approved it yet.
    const again = client.call("deploy_service", { ...args, ref: "second" });
    const next = await Promise.race([
      again.then((answer) => answer.data),
      eventually(() => Promise.resolve(home.asked()[0])).then((held) => ({
        status: "pending",
        requestId: held.request,
      })),
    ]);
    expect(next["requestId"]).not.toBe(request);
    expect(next["status"]).toMatch(/^(pending|refused)$/);
    again.catch(() => undefined);
    expect(home.outside()).toBe(before);
  });

  test("a registration that was adopted meanwhile makes it stale: an approval never moves to another place", async () => {
    home = await openRealHome({
      hold: "15s",
      policy: ({ account, ben, chi }) => `version: 1
adopt: on_save
people:
  ana: { name: Ana, os: ["${account}"] }
  ben: { name: Ben, ssh: ["${ben}"] }
  chi: { name: Chi, ssh: ["${chi}"] }
groups: { sre: [ben, chi] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 1, assurance: A2 }
rules:
  - { id: held, match: { tool: deploy_service }, verdict: hold }
`,
    });
    client = await kind.connect(home.stdio());
    await deployFirst();
    const { request, call } = await holdNext();
    const { readFileSync } = await import("node:fs");
    const config = join(home.home, "countersign.yaml");
    writeFileSync(
      config,
      readFileSync(config, "utf8").replace(
        JSON.stringify(home.releases),
        JSON.stringify(`${home.root}/elsewhere`),
      ),
    );
    const answer = await call;
    expect(answer).toMatchObject({ status: "refused", code: "stale", requestId: request });
    expect((await home.approve(request, "ben", { code: "AAAAAA" })).code).not.toBe(0);
  });
});

describe.skipIf(missing !== null)(missing ?? "a hostile repository, through the whole gateway", () => {
  test.each<[string, (home: RealHome) => void]>([
    [
      "a link that leaves the tree",
      (at) => void at.source.commit({ "assets/up": { link: "../../../../etc/passwd" } }, "link"),
    ],
    [
      "a submodule",
      (at) => {
        const head = at.source.git("rev-parse", "HEAD");
        at.source.git("update-index", "--add", "--cacheinfo", `160000,${head},vendor/lib`);
        at.source.git("commit", "-q", "-m", "submodule");
      },
    ],
    [
      "a path that would write over git's own",
      (at) => {
        const blob = at.source.gitWith("x\n", "hash-object", "-w", "--stdin");
        const tree = at.source.gitWith(`100644 blob ${blob}\t..evil\n`, "mktree");
        const root = at.source.gitWith(`040000 tree ${tree}\t..\n`, "mktree", "--missing");
        const commit = at.source.git("commit-tree", root, "-m", "dots");
        at.source.git("update-ref", "refs/heads/main", commit);
      },
    ],
  ])("%s is refused in words of ours, nobody is asked, and nothing is written", async (_, poison) => {
    const home = await openRealHome({ hold: "5s" });
    poison(home);
    const client = await kind.connect(home.stdio());
    try {
      const before = home.outside();
      const answer = await client.call("deploy_service", args);
      expect(answer.data).toMatchObject({ status: "refused", class: "denied_fixable" });
      // P4: nothing that was seen with the gate's own eyes.
      expect(answer.text).not.toContain("passwd");
      expect(answer.text).not.toContain(home.root);
      expect(await home.pending()).toEqual([]);
      expect(home.outside()).toBe(before);
    } finally {
      await client.close();
      await home.close();
    }
  });

  test("a replaced commit brings out the one that was shown, and hooks and filters do not run", async () => {
    const home = await openRealHome({ hold: "15s" });
    const marker = join(home.root, "ran");
    const good = home.source.commit(
      { "index.html": "<p>good</p>\n", ".gitattributes": "* filter=evil export-ignore\n" },
      "good",
    );
    const bad = home.source.gitWith(
      `tree ${home.source.gitWith(`100644 blob ${home.source.gitWith("bad\n", "hash-object", "-w", "--stdin")}\tindex.html\n`, "mktree")}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nbad\n`,
      "hash-object",
      "-t",
      "commit",
      "-w",
      "--stdin",
    );
    home.source.git("replace", good, bad);
    home.source.git("config", "filter.evil.smudge", `touch ${marker}`);
    home.source.git("config", "uploadpack.packObjectsHook", `touch ${marker}`);
    home.source.git("config", "core.fsmonitor", `touch ${marker}`);
    writeFileSync(join(home.source.dir, ".git", "hooks", "post-checkout"), `#!/bin/sh\ntouch ${marker}\n`, {
      mode: 0o755,
    });
    const client = await kind.connect(home.stdio());
    try {
      const call = client.call("deploy_service", args);
      const { request } = await home.nextPending();
      await home.approve(request);
      expect((await call).data).toMatchObject({ status: "done", result: { commit: good } });
      const { existsSync, readFileSync } = await import("node:fs");
      expect(readFileSync(join(home.releases, home.current() ?? "", "index.html"), "utf8")).toBe(
        "<p>good</p>\n",
      );
      expect(existsSync(marker)).toBe(false);
    } finally {
      await client.close();
      await home.close();
    }
  });
});
