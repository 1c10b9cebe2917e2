import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { backupOf, changeFile, type ChangedFile } from "../../src/cli/hosts/change-file.ts";
import { systemDisk, type Disk } from "../../src/cli/hosts/disk.ts";

// Is the file of another program ever anything but its old bytes or the new ones?

const OLD = '{"old": true}\n';
const NEW = '{"new": true}\n';

let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "countersign-host-"));
  file = join(dir, "mcp.json");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const waits = { sleep: (ms: number) => new Promise<void>((done) => setTimeout(done, ms / 10)), staleMs: 200 };
const options = { waits, makeParent: false, newFileMode: 0o600, within: null };
const change = (disk: Disk = systemDisk, to = NEW, name = file): Promise<ChangedFile> =>
  changeFile(disk, name, options, ({ text }) => (text === to ? null : to));

/** What the fault does: nothing, half of a write, or all of it; the process is gone then. */
type Fault = "lost" | "half" | "happened";

const WRITES = ["makeDirectory", "removeDirectory", "create", "rename", "unlink", "flushDirectory"] as const;

function dyingDisk(at: number, fault: Fault): Disk & { readonly calls: string[] } {
  const calls: string[] = [];
  let isDead = false;
  const wrapped = Object.fromEntries(
    Object.entries(systemDisk).map(([name, call]: [string, (...args: unknown[]) => Promise<unknown>]) => [
      name,
      async (...args: unknown[]) => {
        if (isDead) throw new Error("dead");
        if (!(WRITES as readonly string[]).includes(name)) return call(...args);
        calls.push(name);
        if (calls.length - 1 !== at) return call(...args);
        isDead = true;
        if (fault === "happened") await call(...args);
        if (fault === "half" && name === "create") {
          const [path, bytes, how] = args as Parameters<Disk["create"]>;
          await systemDisk.create(path, bytes.subarray(0, bytes.length / 2), how);
        }
        throw new Error("dead");
      },
    ]),
  ) as unknown as Disk;
  return { ...wrapped, calls };
}

describe.each<[string, string | null]>([
  ["a file that is there", OLD],
  ["a file that is not there yet", null],
])("%s", (_what, before) => {
  test("a crash at each write leaves the old bytes or the new ones, and the next run ends it", async () => {
    const whole = dyingDisk(-1, "lost");
    if (before !== null) writeFileSync(file, before);
    await change(whole);
    expect(whole.calls.filter((name) => name === "rename")).toHaveLength(before === null ? 1 : 2);
    for (let at = 0; at < whole.calls.length; at += 1) {
      for (const fault of ["lost", "half", "happened"] as const) {
        rmSync(dir, { recursive: true });
        mkdirSync(dir);
        if (before !== null) writeFileSync(file, before, { mode: 0o640 });
        await change(dyingDisk(at, fault)).catch(() => undefined);
        const after = existsSync(file) ? readFileSync(file, "utf8") : null;
        expect([before, NEW], `${fault} at ${at}, ${whole.calls[at]}`).toContain(after);
        await change();
        expect(readFileSync(file, "utf8")).toBe(NEW);
        if (before !== null) {
          expect(statSync(file).mode & 0o777).toBe(0o640);
          expect(readFileSync(backupOf(file), "utf8")).toBe(OLD);
        }
        // A run that has nothing to change locks nothing; one that had swept what the dead one left.
        if (after !== NEW)
          expect(readdirSync(dir).sort()).toEqual(
            before === null ? ["mcp.json"] : ["mcp.json", "mcp.json.before-countersign"],
          );
      }
    }
  });
});

test("mode stays, and the copy has it too (F2, F4)", async () => {
  writeFileSync(file, OLD);
  chmodSync(file, 0o604);
  expect(await change()).toEqual({ backup: backupOf(file) });
  expect(statSync(file).mode & 0o777).toBe(0o604);
  expect(statSync(backupOf(file)).mode & 0o777).toBe(0o604);
  expect(readFileSync(backupOf(file), "utf8")).toBe(OLD);
});

test.runIf(process.getuid?.() === 0)("the owner stays (F2)", async () => {
  writeFileSync(file, OLD);
  execFileSync("chown", ["12345:23456", file]);
  await change();
  expect([statSync(file).uid, statSync(file).gid]).toEqual([12345, 23456]);
  expect(readFileSync(file, "utf8")).toBe(NEW);
});

test("a linked dotfile stays a link, and what it leads to is replaced (F2)", async () => {
  mkdirSync(join(dir, "dotfiles"));
  const real = join(dir, "dotfiles", "claude.json");
  writeFileSync(real, OLD);
  symlinkSync(join("dotfiles", "claude.json"), file);
  await change();
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(readFileSync(real, "utf8")).toBe(NEW);
  expect(readdirSync(dir).sort()).toEqual(["dotfiles", "mcp.json"]);
});

test("a link to a file that is not there yet leads to the new one", async () => {
  mkdirSync(join(dir, "dotfiles"));
  symlinkSync(join(dir, "dotfiles", "claude.json"), file);
  await change();
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(dir, "dotfiles", "claude.json"), "utf8")).toBe(NEW);
});

test("a project's link that leads out of it is refused, file or directory, and nothing is touched (F5)", async () => {
  const project = join(dir, "project");
  const outside = join(dir, "outside");
  for (const made of [project, outside, join(project, "shared")]) mkdirSync(made);
  writeFileSync(join(outside, "settings.json"), OLD);
  symlinkSync(join(outside, "settings.json"), join(project, ".mcp.json"));
  symlinkSync("../outside/not-yet.json", join(project, "dangling.json"));
  symlinkSync(outside, join(project, ".cursor"));
  symlinkSync("shared/mcp.json", join(project, "within.json"));
  const inProject = (name: string): Promise<ChangedFile> =>
    changeFile(systemDisk, join(project, name), { ...options, within: project }, () => NEW);
  for (const name of [".mcp.json", "dangling.json", ".cursor/settings.json", ".cursor/mcp.json"]) {
    await expect(inProject(name)).rejects.toMatchObject({
      code: "HOST_CONFIG_REFUSED",
      message: expect.stringContaining("leads out of the project"),
    });
  }
  expect(readdirSync(outside)).toEqual(["settings.json"]);
  expect(readFileSync(join(outside, "settings.json"), "utf8")).toBe(OLD);
  await inProject("within.json");
  expect(readFileSync(join(project, "shared", "mcp.json"), "utf8")).toBe(NEW);
});

test("two at once take turns, and nothing of either is lost (F3)", async () => {
  writeFileSync(file, "");
  const add = (word: string): Promise<ChangedFile> =>
    changeFile(systemDisk, file, options, ({ text }) => `${text}${word}\n`);
  const words = Array.from({ length: 8 }, (_, i) => `w${i}`);
  const slow = { ...options, waits: { ...waits, staleMs: 60_000 } };
  await Promise.all(
    words.map((word) => changeFile(systemDisk, file, slow, ({ text }) => `${text}${word}\n`)),
  );
  expect(readFileSync(file, "utf8").trim().split("\n").sort()).toEqual(words);
  await add("last");
});

test("what the host writes between our read and our rename wins, and we begin again from it (F3)", async () => {
  writeFileSync(file, "a\n");
  let interfered = false;
  const disk: Disk = {
    ...systemDisk,
    async create(path, bytes, how) {
      await systemDisk.create(path, bytes, how);
      if (!interfered && Buffer.from(bytes).includes("ours")) {
        interfered = true;
        writeFileSync(file, "a\nthe host's\n");
      }
    },
  };
  await changeFile(disk, file, options, ({ text }) => `${text}ours\n`);
  expect(readFileSync(file, "utf8")).toBe("a\nthe host's\nours\n");
  expect(readFileSync(backupOf(file), "utf8")).toBe("a\nthe host's\n");
});

test("a host that never stops writing is given up on, and its file is its own", async () => {
  writeFileSync(file, "0");
  let writes = 0;
  const disk: Disk = {
    ...systemDisk,
    async create(path, bytes, how) {
      await systemDisk.create(path, bytes, how);
      writeFileSync(file, `host ${(writes += 1)}`);
    },
  };
  await expect(change(disk)).rejects.toMatchObject({ code: "HOST_CONFIG_REFUSED" });
  expect(readFileSync(file, "utf8")).toBe(`host ${writes}`);
  expect(readdirSync(dir).filter((name) => /lock|countersign-new/.test(name))).toEqual([]);
});

test("a lock that somebody holds and renews is waited for, and then given up on", async () => {
  writeFileSync(file, OLD);
  mkdirSync(`${file}.lock`);
  let beat = 0;
  const renew = setInterval(() => utimesSync(`${file}.lock`, (beat += 1), beat), 1);
  try {
    const sleepy = {
      ...options,
      waits: { ...waits, sleep: () => new Promise<void>((done) => setTimeout(done, 20)) },
    };
    await expect(changeFile(systemDisk, file, sleepy, () => NEW)).rejects.toMatchObject({
      code: "HOST_CONFIG_REFUSED",
      message: expect.stringContaining("locked by another program") as string,
    });
  } finally {
    clearInterval(renew);
  }
  expect(readFileSync(file, "utf8")).toBe(OLD);
});

describe("what is refused leaves everything as it was", () => {
  const refusal = async (name = file, disk = systemDisk): Promise<string> => {
    const before = readdirSync(dir).sort();
    const error: unknown = await changeFile(disk, name, options, () => NEW).then(
      () => null,
      (fault: unknown) => fault,
    );
    expect(error).toMatchObject({ code: "HOST_CONFIG_REFUSED" });
    expect(readdirSync(dir).sort()).toEqual(before);
    return (error as Error).message;
  };

  test("a read-only file, for an administrator too", async () => {
    writeFileSync(file, OLD, { mode: 0o444 });
    expect(await refusal()).toMatch(/read-only/);
    expect(readFileSync(file, "utf8")).toBe(OLD);
  });

  test("a directory of that name", async () => {
    mkdirSync(file);
    expect(await refusal()).toMatch(/is a directory/);
  });

  test("a pipe of that name, without waiting for its other end", async () => {
    execFileSync("mkfifo", [file]);
    expect(await refusal()).toMatch(/no ordinary file/);
  });

  test("a directory that is not there", async () => {
    expect(await refusal(join(dir, "Claude", "mcp.json"))).toMatch(
      /Claude does not exist: the host was never started/,
    );
  });

  test("a file where a directory should be", async () => {
    writeFileSync(join(dir, "Claude"), "");
    expect(await refusal(join(dir, "Claude", "mcp.json"))).toMatch(/Claude is not a directory/);
  });

  test("a file of a gigabyte", async () => {
    writeFileSync(file, "");
    truncateSync(file, 2 ** 30);
    expect(await refusal()).toMatch(/1024 MiB; more than 64 MiB/);
  });

  test("text of another encoding", async () => {
    writeFileSync(file, Buffer.from("\uFEFF{}", "utf16le"));
    expect(await refusal()).toMatch(/not UTF-8/);
  });

  test("links in a circle", async () => {
    symlinkSync(file, file);
    expect(await refusal()).toMatch(/circle \(ELOOP\)/);
  });

  test("a full disk", async () => {
    writeFileSync(file, OLD);
    const full: Disk = {
      ...systemDisk,
      create: () => Promise.reject(Object.assign(new Error("no room"), { code: "ENOSPC" })),
    };
    expect(await refusal(file, full)).toMatch(/the disk is full \(ENOSPC\)/);
    expect(readFileSync(file, "utf8")).toBe(OLD);
  });
});
