import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createGit, isSafeGitVersion } from "../../tools/git/git.ts";
import { serviceRegistration } from "../../tools/deploy_service/registration.ts";

const dir = mkdtempSync(join(tmpdir(), "cs-git-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const never = new AbortController().signal;

test.each([
  ["git version 2.39.5", true],
  ["git version 2.39.5 (Apple Git-154)", true],
  ["git version 2.39.3", false],
  ["git version 2.44.0", false],
  ["git version 2.44.1", true],
  ["git version 2.45.0", false],
  ["git version 2.46.0", true],
  ["git version 2.51.0.windows.1", true],
  ["git version 3.0", true],
  ["git version 2.30.9", false],
  ["git version 2.38.9", false],
  ["hg version 9", false],
])("%s is safe to point at a hostile repository: %s", (text, safe) => {
  expect(isSafeGitVersion(text)).toBe(safe);
});

describe("the program", () => {
  const fake = (name: string, script: string): string => {
    const path = join(dir, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return path;
  };
  test("a missing or too old git is refused, and asked again the next time", async () => {
    const missing = createGit({ binary: join(dir, "none"), stateDir: dir, timeoutMs: 5_000 });
    await expect(missing.ensureUsable(never)).rejects.toMatchObject({ code: "git_unusable" });
    const version = join(dir, "version");
    const changing = createGit({
      binary: fake("changing", `cat ${version}`),
      stateDir: dir,
      timeoutMs: 5_000,
    });
    writeFileSync(version, "git version 2.30.0\n");
    await expect(changing.ensureUsable(never)).rejects.toMatchObject({ code: "git_unusable" });
    writeFileSync(version, "git version 2.50.0\n");
    await changing.ensureUsable(never);
  });

  test("it is given an environment of ours, whole", async () => {
    const git = createGit({ binary: fake("env", "env"), stateDir: dir, timeoutMs: 5_000 });
    mkdirSync(join(dir, "empty-home"), { recursive: true });
    const { stdout } = await git.run({ args: [], gitDir: "/m.git", signal: never });
    const lines = stdout.toString().split("\n");
    const names = lines
      .map((line) => line.split("=")[0])
      .filter((name) => name !== "" && !/^(PWD|_|SHLVL|OLDPWD)$/.test(name ?? ""));
    expect(
      names
        .filter((name) => !/^GIT_CONFIG_(KEY|VALUE)_\d+$/.test(name ?? ""))
        .sort((a, b) => ((a ?? "") < (b ?? "") ? -1 : 1)),
    ).toEqual([
      "GIT_ALLOW_PROTOCOL",
      "GIT_ASKPASS",
      "GIT_ATTR_NOSYSTEM",
      "GIT_CEILING_DIRECTORIES",
      "GIT_CONFIG_COUNT",
      "GIT_CONFIG_GLOBAL",
      "GIT_CONFIG_NOSYSTEM",
      "GIT_CONFIG_SYSTEM",
      "GIT_DIR",
      "GIT_NO_LAZY_FETCH",
      "GIT_NO_REPLACE_OBJECTS",
      "GIT_OPTIONAL_LOCKS",
      "GIT_PAGER",
      "GIT_PROTOCOL_FROM_USER",
      "GIT_SSH_COMMAND",
      "GIT_TERMINAL_PROMPT",
      "HOME",
      "LC_ALL",
      "PATH",
      "XDG_CONFIG_HOME",
    ]);
    expect(lines).toContain("GIT_ALLOW_PROTOCOL=");
  });

  test("a flood of output, a deadline and an abort each stop it, with all it started", async () => {
    const git = createGit({
      binary: fake("flood", 'case "$1" in flood) yes;; *) sleep 60 & wait;; esac'),
      stateDir: dir,
      timeoutMs: 300,
    });
    expect((await git.run({ args: ["flood"], signal: never, stdoutBytes: 1_000 })).stopped).toBe("output");
    expect((await git.run({ args: ["hang"], signal: never })).stopped).toBe("timeout");
    expect((await git.run({ args: ["hang"], signal: AbortSignal.timeout(50) })).stopped).toBe("aborted");
    expect((await git.run({ args: ["hang"], signal: AbortSignal.abort() })).stopped).toBe("aborted");
  });
});

describe("how a repository is reached", () => {
  const git = createGit({ binary: "git", stateDir: dir, timeoutMs: 5_000 });
  const base = { environment: "demo", releases: "/srv/web" };

  test("over ssh with the registered key and hosts only: the account's configuration and agent are left out", () => {
    const log = join(dir, "ssh-args");
    const remote = git.remote(
      serviceRegistration.parse({
        ...base,
        repository: "ssh://git@example.com/acme/web",
        ssh: { identity: "/keys/it's mine", known_hosts: "/keys/known hosts" },
      }),
      null,
    );
    expect(remote.env["GIT_ALLOW_PROTOCOL"]).toBe("ssh");
    // git hands the command to a shell: a program named ssh shows what arrives.
    const bin = join(dir, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "ssh"),
      `#!/bin/sh\nfor word in "$@"; do echo "$word"; done > ${log}\nexit 255\n`,
      { mode: 0o755 },
    );
    try {
      execFileSync("git", ["ls-remote", remote.url], {
        env: { ...remote.env, PATH: `${bin}:/usr/bin:/bin`, HOME: dir },
        stdio: "pipe",
      });
    } catch {
      // The program is no ssh; only what it was called with matters.
    }
    const words = readFileSync(log, "utf8").split("\n");
    expect(words.slice(0, 4)).toEqual(["-F", "/dev/null", "-i", "/keys/it's mine"]);
    expect(words).toEqual(
      expect.arrayContaining([
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        'UserKnownHostsFile="/keys/known hosts"',
        "git@example.com",
      ]),
    );
    expect(words).not.toContain("SendEnv=GIT_PROTOCOL=version=2");
  });

  test("over https with the credential in the environment and never in an argument or the URL", () => {
    const remote = git.remote(
      serviceRegistration.parse({
        ...base,
        repository: "https://git.example.com/acme/web.git",
        credential: { name: "git-read" },
      }),
      "hunter2",
    );
    expect(JSON.stringify([remote.url, remote.args])).not.toContain("hunter2");
    expect(remote.env["GIT_ALLOW_PROTOCOL"]).toBe("https");
    const header = `Authorization: Basic ${Buffer.from("x-access-token:hunter2").toString("base64")}`;
    expect(remote.config).toContainEqual(["http.https://git.example.com/acme/web.git.extraHeader", header]);
  });

  test("a path becomes a file URL, so that it goes through upload-pack and nothing is hard-linked", () => {
    const remote = git.remote(serviceRegistration.parse({ ...base, repository: "/srv/a b#c%20" }), null);
    expect(remote.url).toBe("file:///srv/a%20b%23c%2520");
    expect(remote.args.join(" ")).toContain("upload-pack");
  });
});
