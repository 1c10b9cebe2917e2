import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NoEffect, ToolRefusal, type ToolPreview } from "../../src/tool.ts";
import { withLock } from "../../tools/git/lock.ts";
import { sweepDeployMirrors, serviceRegistration } from "../../tools/deploy_service/tool.ts";
import { makeDeployWorld, type DeployWorld } from "../support/deploy-world.ts";

let world: DeployWorld;
beforeEach(() => {
  world = makeDeployWorld();
});
afterEach(() => world.remove());

const releases = (): string[] => readdirSync(join(world.root, "releases")).sort();
const failed = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "succeeded",
    (error: unknown) => error,
  );
const execute = (
  preview: ToolPreview,
  signal?: AbortSignal,
  onProgress?: (line: string) => void,
): Promise<unknown> =>
  failed(
    world.tool().execute(
      preview.plan,
      world.context({
        preview,
        ...(signal === undefined ? {} : { signal }),
        ...(onProgress === undefined ? {} : { progress: onProgress }),
      }),
    ),
  );
const warnings = (preview: ToolPreview): string[] => preview.view.warnings.map((one) => one.code);
/** A process that was killed and not yet waited for by its new parent is not running. */
const isRunning = (pid: string): boolean => {
  const end = spawnSync("ps", ["-o", "stat=", "-p", pid]);
  return !/^(Z.*)?$/.test(end.stdout.toString().trim());
};
const diff = (preview: ToolPreview): string =>
  preview.view.documents.find((one) => one.kind === "diff")?.body ?? "";

describe("a release", () => {
  test("holds the bytes and modes of the commit, whatever the umask", async () => {
    const bytes = new Uint8Array(Array.from({ length: 256 }, (_, i) => i));
    world.source.commit({
      "a.bin": bytes,
      "bin/run": { script: "#!/bin/sh\n" },
      "deep/er/f": "x",
      empty: "",
    });
    await world.deploy();
    expect(new Uint8Array(readFileSync(join(world.root, "current/a.bin")))).toEqual(bytes);
    const mode = (path: string): number => statSync(join(world.root, "current", path)).mode & 0o777;
    expect([mode("a.bin"), mode("bin/run"), mode("deep/er"), mode(".")]).toEqual([
      0o644, 0o755, 0o755, 0o755,
    ]);
    expect(world.served("empty")).toBe("");
  });

  test("of a registered directory holds that directory only", async () => {
    world.entry = { ...world.entry, directory: "services/web" };
    world.source.commit({ "services/web/a.txt": "a\n", "other.txt": "x\n" });
    await world.deploy();
    expect(readdirSync(join(world.root, "current"))).toEqual(["a.txt"]);
    world.source.commit({ "services/web/a.txt": null, "services/web": "a file now" });
    expect(await failed(world.preview())).toMatchObject({ code: "directory_missing" });
  });

  test("of an empty commit is an empty directory", async () => {
    world.source.commit({});
    await world.deploy();
    expect(readdirSync(join(world.root, "current"))).toEqual([]);
  });

  test("of files and directories far apart, a thousand of them", async () => {
    world.source.commit(
      Object.fromEntries(
        Array.from({ length: 1_000 }, (_, i) => [`d${i % 37}/e${i % 5}/f${i}.txt`, `${i}\n`]),
      ),
    );
    const { output } = await world.deploy();
    expect(output).toMatchObject({ files: 1_000, health: "passed" });
    expect(world.served("d36/e4/f184.txt")).toBe("184\n");
  });
});

describe("health", () => {
  test("a check that fails stops the deploy before anything is switched", async () => {
    world.source.commit({ "a.txt": "one\n" });
    const first = await world.deploy();
    world.source.commit({ "fail-check": "" });
    expect(await execute(await world.preview())).toMatchObject({ name: "NoEffect", code: "check_failed" });
    expect(world.current()).toBe(`releases/${String(first.output["release"])}`);
    expect(releases()).toHaveLength(2);
    expect(world.healthRuns().map((line) => line.split(" ")[0])).toEqual(["check", "health", "check"]);
  });

  test("a health command that fails after the switch brings the old release back and runs there again", async () => {
    world.source.commit({ "a.txt": "one\n" });
    const first = await world.deploy();
    const old = String(first.output["release"]);
    world.source.commit({ "fail-health": "" });
    const preview = await world.preview();
    expect(await execute(preview)).toMatchObject({ name: "NoEffect", code: "health_failed" });
    expect(world.current()).toBe(`releases/${old}`);
    expect(world.healthRuns().at(-1)).toBe(`rollback ${old}`);
    expect(releases()).toEqual([old, `${old}.manifest.json`]);
    expect(await world.tool().reconcile(preview.plan, world.context())).toBe("not_done");
  });

  test("where even the old release is not well, the outcome is not called failed", async () => {
    world.source.commit({ "fail-rollback": "" });
    const first = await world.deploy();
    world.source.commit({ "fail-health": "" });
    const error = await execute(await world.preview());
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(NoEffect);
    expect(world.current()).toBe(`releases/${String(first.output["release"])}`);
  });

  test("a first release that fails leaves nothing that is served", async () => {
    world.source.commit({ "fail-health": "" });
    expect(await execute(await world.preview())).toMatchObject({ code: "health_failed" });
    expect(world.current()).toBe(null);
    expect(releases()).toEqual([]);
  });

  test("a command that hangs is stopped with all it started", async () => {
    const pids = join(world.dir, "pids");
    const program = join(world.dir, "hang.sh");
    writeFileSync(
      program,
      `#!/bin/sh\nsleep 60 &\necho $! >> ${pids}\nsetsid sleep 0 &\necho $$ >> ${pids}\nwait\n`,
      { mode: 0o755 },
    );
    world.entry = { ...world.entry, check: undefined, health: { run: [program], timeout: "300ms" } };
    delete world.entry["check"];
    world.source.commit({ "a.txt": "a\n" });
    expect(await execute(await world.preview())).toMatchObject({ code: "health_failed" });
    for (const pid of readFileSync(pids, "utf8").trim().split("\n")) {
      expect(isRunning(pid)).toBe(false);
    }
  });

  test("a child left in the background is stopped too when the command itself is done", async () => {
    const pids = join(world.dir, "pids");
    const program = join(world.dir, "background.sh");
    writeFileSync(program, `#!/bin/sh\nsleep 60 &\necho $! >> ${pids}\nexit 0\n`, { mode: 0o755 });
    world.entry = { ...world.entry, health: { run: [program] } };
    world.source.commit({ "a.txt": "a\n" });
    await world.deploy();
    expect(isRunning(readFileSync(pids, "utf8").trim())).toBe(false);
  });

  test("the command sees the release and what its allowlist names, and nothing else of the gateway", async () => {
    const program = join(world.dir, "env.sh");
    writeFileSync(program, `#!/bin/sh\npwd; env\necho oops >&2\n`, { mode: 0o755 });
    world.entry = { ...world.entry, health: { run: [program], env: ["PORT", "MISSING"] } };
    delete world.entry["check"];
    world.source.commit({ "a.txt": "a\n" });
    const tool = world.tool({ env: { PORT: "8080", TOKEN: "hunter2" } });
    const preview = await world.preview("main", tool);
    const { output } = await tool.execute(preview.plan, world.context({ preview }));
    const said = readFileSync(join(world.stateDir, "output/web-health.log"), "utf8");
    const dir = join(world.root, "releases", (output as { release: string }).release);
    expect(said).toContain(`RELEASE_DIR=${dir}`);
    expect(said).toContain(`\n${dir}\n`);
    expect(said).toContain("PORT=8080");
    expect(said).not.toMatch(/hunter2|HOME=|NODE_|VITEST/);
    expect(said).toContain("oops");
    expect(statSync(join(world.stateDir, "output/web-health.log")).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(output)).not.toContain("oops");
  });

  test("a program that is missing, and one that prints without end, are failures with words of ours", async () => {
    world.source.commit({ "a.txt": "a\n" });
    world.entry = { ...world.entry, check: { run: [join(world.dir, "none")] } };
    expect(String(await execute(await world.preview()))).toContain("could not be started (ENOENT)");
    world.entry = { ...world.entry, check: { run: ["/usr/bin/yes"] } };
    expect(String(await execute(await world.preview()))).toContain("printed more than 65536 bytes");
    expect(world.current()).toBe(null);
  });
});

describe("the plan is what runs", () => {
  test("another sealed manifest, a mirror that is gone, and a changed registration are refused", async () => {
    world.source.commit({ "a.txt": "a\n" });
    const preview = await world.preview();
    const other = {
      ...preview,
      files: [{ name: "manifest.json", type: "application/json", bytes: Buffer.from("{}") }],
    };
    expect(await execute(other)).toMatchObject({ name: "NoEffect", code: "manifest_changed" });
    expect(await execute({ ...preview, files: [] })).toBeInstanceOf(NoEffect);
    const { entry } = world;
    world.entry = { ...entry, keep: 4 };
    expect(await execute(preview)).toMatchObject({ name: "NoEffect", code: "stale" });
    expect(await world.tool().guard(preview.plan, world.context())).not.toBe(preview.guard);
    world.entry = entry;
    rmSync(join(world.stateDir, "mirrors"), { recursive: true });
    expect(await execute(preview)).toMatchObject({ name: "NoEffect", code: "object_missing" });
    expect(
      await failed(
        world.tool().execute({ ...(preview.plan as object), extra: 1 } as never, world.context({ preview })),
      ),
    ).toMatchObject({ code: "TOOL_BROKEN" });
    expect(existsSync(join(world.root, "current"))).toBe(false);
  });

  test("a service that is no longer registered is refused", async () => {
    world.source.commit({ "a.txt": "a\n" });
    const preview = await world.preview();
    const tool = world.tool({ services: {} });
    expect(await failed(tool.execute(preview.plan, world.context({ preview })))).toMatchObject({
      name: "NoEffect",
      code: "unknown_service",
    });
    expect(await tool.guard(preview.plan, world.context())).not.toBe(preview.guard);
  });

  test("it runs from the mirror: what the source does after the fetch changes nothing, or makes it stale", async () => {
    world.source.commit({ "a.txt": "approved\n" });
    const preview = await world.preview();
    world.source.commit({ "a.txt": "later\n" });
    expect(await execute(preview)).toMatchObject({ code: "stale" });
    world.source.git("reset", "-q", "--hard", "HEAD~1");
    expect(await execute(preview)).toBe("succeeded");
    expect(world.served("a.txt")).toBe("approved\n");
  });
});

describe("two at once", () => {
  test("of two deploys one is done and the other is stale, and the winner is whole", async () => {
    world.source.commit({ "a.txt": "zero\n" });
    await world.deploy();
    world.source.commit({ "a.txt": "one\n" });
    world.source.git("branch", "release/two");
    const previews = [await world.preview("main"), await world.preview("release/two")];
    const ends = await Promise.all(previews.map((preview) => execute(preview)));
    expect(ends.filter((end) => end === "succeeded")).toHaveLength(1);
    expect(ends.find((end) => end !== "succeeded")).toMatchObject({ name: "NoEffect", code: "stale" });
    const winner = previews[ends.indexOf("succeeded")] as ToolPreview;
    expect(await world.tool().reconcile(winner.plan, world.context())).toBe("done");
  });

  test("a deploy that waits too long for another one says busy; reconcile does not guess meanwhile", async () => {
    world.source.commit({ "a.txt": "a\n" });
    const preview = await world.preview();
    const tool = world.tool({ limits: { lockWaitMs: 100 } });
    await withLock(world.root, { signal: new AbortController().signal, waitMs: 0 }, async () => {
      expect(await failed(tool.execute(preview.plan, world.context({ preview })))).toMatchObject({
        name: "NoEffect",
        code: "busy",
      });
      expect(await tool.reconcile(preview.plan, world.context())).toBe("unknown");
      const gone = AbortSignal.abort();
      expect(
        await failed(tool.execute(preview.plan, world.context({ preview, signal: gone }))),
      ).toMatchObject({ code: "aborted" });
    });
    expect(await execute(preview)).toBe("succeeded");
  });

  test("someone who switches by hand between guard and switch is noticed", async () => {
    world.source.commit({ "a.txt": "one\n" });
    await world.deploy();
    world.source.commit({ "a.txt": "two\n" });
    const preview = await world.preview();
    mkdirSync(join(world.root, "releases/by-hand"));
    const end = await execute(preview, undefined, (line) => {
      if (line !== "switching") return;
      rmSync(join(world.root, "current"));
      symlinkSync("releases/by-hand", join(world.root, "current"));
    });
    expect(end).toMatchObject({ name: "NoEffect", code: "stale" });
    expect(world.current()).toBe("releases/by-hand");
    expect(releases().filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("two previews of one service fetch one after the other and agree", async () => {
    world.source.commit({ "a.txt": "one\n" });
    const previews = await Promise.all(Array.from({ length: 4 }, () => world.preview()));
    expect(new Set(previews.map((preview) => preview.guard)).size).toBe(1);
    expect(new Set(previews.map((preview) => (preview.plan as { release: string }).release)).size).toBe(4);
  });
});

describe("stopped on the way", () => {
  test("during the health command the old release comes back", async () => {
    world.source.commit({ "a.txt": "one\n" });
    const first = await world.deploy();
    world.source.commit({ slow: "" });
    world.entry = { ...world.entry };
    delete world.entry["check"];
    const preview = await world.preview();
    const stop = new AbortController();
    const end = await execute(preview, stop.signal, (line) => {
      if (line === "asking for health") setTimeout(() => stop.abort(), 100);
    });
    expect(end).toMatchObject({ name: "NoEffect", code: "aborted" });
    expect(world.current()).toBe(`releases/${String(first.output["release"])}`);
  });
  test("while it writes nothing stays behind", async () => {
    world.source.commit(Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`f${i}`, "x"])));
    const preview = await world.preview();
    const stop = new AbortController();
    const end = await execute(preview, stop.signal, (line) => {
      if (line === "writing the release") setTimeout(() => stop.abort(), 30);
    });
    expect(end).toMatchObject({ name: "NoEffect", code: "aborted" });
    expect(releases()).toEqual([]);
  });
});

describe("old releases", () => {
  test("are removed beyond the number to keep, and never what is or was current", async () => {
    const made: string[] = [];
    for (let i = 0; i < 6; i += 1) {
      world.source.commit({ "a.txt": `${i}\n` });
      made.push(String((await world.deploy()).output["release"]));
    }
    expect(releases().filter((name) => !name.endsWith(".json"))).toEqual(made.slice(3));
    const revoked = await world.deploy();
    await world.tool().revoke(revoked.undo, world.context());
    expect(world.current()).toBe(`releases/${made[5]}`);
    await world.tool().revoke(revoked.undo, world.context());
    expect(world.current()).toBe(`releases/${made[5]}`);
    mkdirSync(join(world.root, "releases/not-ours"));
    world.source.commit({ "a.txt": "more\n" });
    const next = await world.deploy();
    expect(releases()).toContain("not-ours");
    expect(next.output["previous"]).toBe(made[5]);
    expect(releases()).toContain(made[5]);
  });

  test("what a crashed deploy left is swept by the next one", async () => {
    world.source.commit({ "a.txt": "a\n" });
    mkdirSync(join(world.root, "releases/.tmp-x/deep"), { recursive: true });
    mkdirSync(join(world.root, "releases/.gone-y"), { recursive: true });
    await world.deploy();
    expect(releases().filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("a revoke whose release is gone says so and leaves what is served", async () => {
    world.source.commit({ "a.txt": "1\n" });
    const first = await world.deploy();
    world.source.commit({ "a.txt": "2\n" });
    const { undo } = await world.deploy();
    rmSync(join(world.root, "releases", String(first.output["release"])), { recursive: true });
    expect(String(await failed(world.tool().revoke(undo, world.context())))).toContain("is gone");
    expect(world.served("a.txt")).toBe("2\n");
  });
});

describe("what people are shown", () => {
  test("files that were edited on disk are shown as they are there, and make an open plan stale", async () => {
    world.source.commit({ "a.txt": "one\n" });
    await world.deploy();
    world.source.commit({ "b.txt": "b\n" });
    const before = await world.preview();
    writeFileSync(join(world.root, "current/a.txt"), "edited by hand\n");
    const preview = await world.preview();
    expect(preview.guard).not.toBe(before.guard);
    expect(warnings(preview)).toContain("current_drifted");
    expect(diff(preview)).toContain("-edited by hand\n+one\n");
    expect(preview.view.counts).toMatchObject({ files_added: 1, files_changed: 1, files_removed: 0 });
  });

  test("files that the service wrote beside its code are counted and leave a plan valid", async () => {
    world.source.commit({ "a.txt": "one\n" });
    await world.deploy();
    world.source.commit({ "a.txt": "two\n" });
    const before = await world.preview();
    mkdirSync(join(world.root, "current/__pycache__"));
    writeFileSync(join(world.root, "current/__pycache__/a.pyc"), "x");
    const preview = await world.preview();
    expect(preview.guard).toBe(before.guard);
    expect(warnings(preview)).toContain("current_extras");
    expect(preview.view.counts["files_removed"]).toBe(0);
  });

  test("a release that was not made by this tool is compared file by file", async () => {
    mkdirSync(join(world.root, "releases/old"), { recursive: true });
    writeFileSync(join(world.root, "releases/old/a.txt"), "old\n");
    writeFileSync(join(world.root, "releases/old/evil\n+++ b"), "x");
    symlinkSync("releases/old", join(world.root, "current"));
    world.source.commit({ "a.txt": "new\n" });
    const { preview, output } = await world.deploy();
    expect(warnings(preview)).toContain("current_foreign");
    expect(preview.view.counts).toMatchObject({ files_changed: 1, files_removed: 1 });
    expect(diff(preview)).toContain("deleted file mode 100644\n--- a/evil\\u000a+++ b\n+++ /dev/null");
    expect(output["previous"]).toBe("old");
    expect(readdirSync(join(world.root, "releases"))).toContain("old");
  });

  test("commits and their relation: ahead, behind, diverged", async () => {
    const one = world.source.commit({ "a.txt": "1\n" }, "first");
    world.source.commit({ "a.txt": "2\n" }, "second");
    await world.deploy();
    world.source.commit({ "a.txt": "3\n" }, "third\n\nbody is not shown");
    world.source.commit({ "a.txt": "4\n" }, "fourth");
    const ahead = await world.preview();
    expect(ahead.view.counts["commits"]).toBe(2);
    expect(ahead.view.facts["fast_forward"]).toBe(true);
    expect(ahead.view.documents[0]?.body).toMatch(/^[0-9a-f]{12} Ana: fourth\n[0-9a-f]{12} Ana: third\n$/);
    const behind = await world.preview(one);
    expect(behind.view.facts["fast_forward"]).toBe(false);
    expect(warnings(behind)).toContain("older_commit");
    world.source.git("reset", "-q", "--hard", one);
    world.source.commit({ "a.txt": "rewritten\n" }, "rewritten");
    expect(warnings(await world.preview())).toContain("not_fast_forward");
  });

  test("what an author writes about itself stands on one line", async () => {
    world.source.git("config", "user.name", "x");
    world.source.commit({ "a.txt": "1\n" });
    const raw = `tree ${world.source.git("rev-parse", "HEAD^{tree}")}\nauthor A\u001b[2J\u202eb <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\n\n\n  approve this\u2028now\r\nsecond`;
    world.source.git(
      "update-ref",
      "refs/heads/main",
      world.source.gitWith(raw, "hash-object", "-t", "commit", "-w", "--stdin"),
    );
    const body = (await world.preview()).view.documents[0]?.body ?? "";
    expect(body.trimEnd().split("\n")).toHaveLength(1);
    expect(body).toContain("approve this");
  });

  test("binary files by digest, hidden characters and new executables by warning", async () => {
    world.source.commit({ "a.txt": "plain\n" });
    await world.deploy();
    world.source.commit({
      "a.txt": "if (admin\u202e) {\n",
      "b.bin": new Uint8Array([0, 1, 2]),
      "latin1.txt": new Uint8Array([0xe9, 10]),
      "na\u00adme.txt": "x\n",
      run: { script: "#!/bin/sh\n" },
      link: { link: "a.txt" },
    });
    const preview = await world.preview();
    expect(warnings(preview).sort()).toEqual([
      "binary_files",
      "executable_files",
      "hidden_characters",
      "hidden_names",
      "symlinks",
    ]);
    expect(diff(preview)).toContain(
      "+not text: 3 bytes, sha256:ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc",
    );
    expect(preview.view.complete).toBe(true);
  });

  test("a change too large to be shown whole says that it is not complete (C4)", async () => {
    world.source.commit({ "a.txt": `${"line\n".repeat(1_000)}`, "b.txt": "b\n", "z.txt": "z\n" });
    const preview = await world.preview("main", world.tool({ limits: { diffBytes: 1_000 } }));
    expect(preview.view.complete).toBe(false);
    expect(warnings(preview)).toContain("incomplete");
    expect(diff(preview)).toContain("3 changed files are not shown");
  });

  test("an executable bit alone is a change", async () => {
    world.source.commit({ run: "x\n" });
    await world.deploy();
    world.source.commit({ run: { script: "x\n" } });
    const preview = await world.preview();
    expect(diff(preview)).toBe("diff a/run b/run\nold file mode 100644\nnew file mode 100755\n");
    expect(warnings(preview)).toContain("executable_files");
  });

  test("the commands that will run are shown", async () => {
    world.source.commit({ "a.txt": "x\n" });
    const commands = (await world.preview()).view.documents.find((one) => one.title === "commands")?.body;
    expect(commands).toContain(`after the switch: ["${join(world.dir, "health.sh")}"], at most 5000 ms`);
  });

  test("the same commit again changes no file and says so", async () => {
    world.source.commit({ "a.txt": "x\n" });
    await world.deploy();
    const preview = await world.preview();
    expect(warnings(preview)).toEqual(["no_changes"]);
    expect(preview.view.counts).toMatchObject({
      commits: 0,
      files_added: 0,
      files_changed: 0,
      files_removed: 0,
    });
  });
});

describe("names of services", () => {
  test.each(["api", "constructor", "__proto__", "toString", "web2"])("%s is not registered", (service) => {
    const tool = world.tool();
    expect(() => tool.targets({ service, ref: "main" })).toThrow(ToolRefusal);
    expect(() => tool.registration({ service, ref: "main" })).toThrow(ToolRefusal);
  });
  test("the environment is the operator's", () => {
    expect(world.tool().targets({ service: "web", ref: "main" })).toEqual([
      { kind: "service", id: "web", environment: "demo" },
    ]);
    expect(world.tool().registration({ service: "web", ref: "main" })).toEqual(
      serviceRegistration.parse(world.entry),
    );
  });
});

test("mirrors give back the room of old requests and keep that of new ones", async () => {
  world.source.commit({ "old.txt": "old\n" });
  world.source.git("checkout", "-q", "--orphan", "release/x");
  world.source.commit({ "old.txt": null, "new.txt": "new\n" });
  const tool = world.tool();
  await tool.preview({ service: "web", ref: "main" }, world.context({ now: () => 1_000_000_000_000 }));
  const kept = await tool.preview(
    { service: "web", ref: "release/x" },
    world.context({ now: () => 1_700_000_000_000 }),
  );
  const mirror = join(world.stateDir, "mirrors/web.git");
  const has = (path: string): boolean => {
    try {
      execFileSync("git", ["-C", mirror, "cat-file", "-e", world.source.git("rev-parse", path)], {
        stdio: "pipe",
      });
      return true;
    } catch {
      return false;
    }
  };
  expect([has("main:old.txt"), has("release/x:new.txt")]).toEqual([true, true]);
  await sweepDeployMirrors({
    services: { web: serviceRegistration.parse(world.entry), never: serviceRegistration.parse(world.entry) },
    stateDir: world.stateDir,
    olderThan: 1_500_000_000_000,
    signal: new AbortController().signal,
  });
  expect([has("main:old.txt"), has("release/x:new.txt")]).toEqual([false, true]);
  expect(await execute(kept)).toBe("succeeded");
});
