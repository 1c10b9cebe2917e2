import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { digestJson } from "../../src/base/digest.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import type { Settings } from "../../src/config/settings.ts";
import { CountersignError } from "../../src/errors.ts";
import { cliRun, type CliRun } from "../support/cli-run.ts";
import { createKeyDir, missingSshKeygen, type KeyDir } from "../support/ssh-keys.ts";

// Is the first approver made by a person, once, and with nothing overwritten or left half done?

const missing = missingSshKeygen();

describe.skipIf(missing !== null)(`init ${missing ?? ""}`, () => {
  let keys: KeyDir;
  let root: string;
  let place: string;
  let around: Surroundings;
  let made: Settings[];
  let fails: Error | null;

  beforeAll(() => {
    keys = createKeyDir();
    keys.make("id_ed25519");
    keys.make("ben");
  });
  afterAll(() => keys.remove());
  beforeEach(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), "countersign-init-")));
    place = join(root, "home");
    around = {
      env: { PATH: process.env["PATH"] ?? "" },
      cwd: root,
      platform: "linux",
      userHome: root,
      account: "1000@laptop",
    };
    made = [];
    fails = null;
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const run = (argv: readonly string[], typed?: readonly string[]): Promise<CliRun> =>
    cliRun(["init", "--home", place, ...argv], {
      around,
      ...(typed === undefined ? {} : { typed }),
      parts: {
        initHome: async (settings) => {
          if (fails !== null) throw fails;
          await mkdir(join(settings.dataDir, "log")).catch(() => {
            throw new CountersignError("LOG_EXISTS", "a log stands here");
          });
          made.push(settings);
          return {
            log: "log_01KAKJT00000000000000000LG",
            key: "the-log-key",
            revision: digestJson("policy", 1),
          };
        },
      },
    });
  const all = (...more: readonly string[]): readonly string[] => [
    "--yes",
    ...[
      "--person",
      "ana",
      "--name",
      'Ana "A" Ruiz',
      "--key",
      join(keys.dir, "id_ed25519.pub"),
      "--agent",
      "claude-code",
    ],
    ...more,
  ];
  const read = (file: string): Promise<string> => readFile(join(place, file), "utf8");

  test("with every answer a flag it asks nothing and makes files that load, for someone alone", async () => {
    const { exitCode, stdout, stderr } = await run(all("--solo"));
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    await expect(
      (await read("policy.yaml")).replaceAll(/SHA256:[A-Za-z0-9+/]{43}/g, "SHA256:FINGERPRINT"),
    ).toMatchFileSnapshot("golden/init-solo-policy.txt");
    await expect(
      (await read("countersign.yaml")).replaceAll(/[0-9a-f]{64}/g, "TOKEN_SHA256"),
    ).toMatchFileSnapshot("golden/init-countersign.txt");
    expect(await read("policy.yaml")).toContain(keys.fingerprint("id_ed25519"));
    expect(stdout).toContain("the-log-key");
    expect(made[0]).toMatchObject({
      home: place,
      stdio: { agent: "claude-code" },
      clients: [{ name: "local", agent: "claude-code", principal: "ana" }],
    });
  });

  test("tokens are in files of their own, 0600; the configuration has the hash and nobody prints them", async () => {
    const { stdout, stderr } = await run(all("--solo"));
    const token = (await read("data/keys/mcp.token")).trim();
    const api = (await read("data/keys/api.token")).trim();
    expect(token).toMatch(/^csm_[A-Za-z0-9_-]{43}$/);
    expect(api).toMatch(/^csa_[A-Za-z0-9_-]{43}$/);
    expect(made[0]?.clients[0]?.tokenSha256).toBe(createHash("sha256").update(token).digest("hex"));
    for (const secret of [token, api])
      expect(`${stdout}${stderr}${await read("countersign.yaml")}`).not.toContain(secret);
    for (const file of ["countersign.yaml", "policy.yaml", "data/keys/mcp.token", "data/keys/api.token"]) {
      expect((await stat(join(place, file))).mode & 0o777).toBe(0o600);
    }
    for (const dir of [".", "data", "data/keys"])
      expect((await stat(join(place, dir))).mode & 0o777).toBe(0o700);
    expect(await read("data/.gitignore")).toBe("*\n");
  });

  test("in a team somebody else is named, because nobody approves their own agent (C7)", async () => {
    expect((await run(all("--team"))).stderr).toContain("--approver is missing");
    const { exitCode } = await run(all("--team", "--approver", `ben=${join(keys.dir, "ben.pub")}`));
    expect(exitCode).toBe(0);
    const policy = await read("policy.yaml");
    expect(policy).toContain(keys.fingerprint("ben"));
    expect(policy).toContain("approvers: [ana, ben]");
    expect(policy).not.toMatch(/^solo:/m);
    expect(policy).toContain("policy_change: { by: [approvers], quorum: 2");
  });

  test("a first service is registered with what the policy will match on", async () => {
    const service = [
      "--service",
      "web",
      "--repository",
      "/srv/git/web.git",
      "--environment",
      "prod",
      "--releases",
      "/srv/web",
    ];
    expect((await run(all("--solo", ...service))).exitCode).toBe(0);
    expect(made[0]?.services).toEqual({
      web: { repository: "/srv/git/web.git", environment: "prod", releases: "/srv/web" },
    });
  });

  test.each<[string, () => readonly string[], RegExp]>([
    ["no terminal and no --yes", () => ["--person", "ana"], /init asks questions and needs a terminal/],
    ["a missing answer", () => ["--yes", "--person", "ana"], /--key, --agent, --solo or --team is missing/],
    ["both words at once", () => all("--solo", "--team"), /say one of --solo and --team/],
    [
      "an id that is no id",
      () => ["--yes", "--person", "Ana Ruiz", "--key", "k", "--agent", "a", "--solo"],
      /--person: expected a name of a-z/,
    ],
    [
      "a name with something hidden in it",
      () => all("--solo", "--name", "Ana\u202e"),
      /without hidden characters/,
    ],
    [
      "a key that is not there",
      () => ["--yes", "--person", "ana", "--key", "none.pub", "--agent", "a", "--solo"],
      /no SSH key can be read/,
    ],
    [
      "a new key where nobody can choose a passphrase",
      () => ["--yes", "--person", "ana", "--key", "new", "--agent", "a", "--solo"],
      /made in a terminal/,
    ],
    [
      "user verification of an ordinary key",
      () => all("--solo", "--user-verified"),
      /--user-verified is for sk- keys/,
    ],
    [
      "an approver who is the same person",
      () => all("--team", "--approver", "ana=SHA256:x"),
      /expected somebody else/,
    ],
    [
      "half a service",
      () => all("--solo", "--service", "web"),
      /--repository, --environment, --releases is missing/,
    ],
  ])("%s writes nothing", async (_what, argv, words) => {
    const { exitCode, stderr } = await run(argv());
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(words);
    expect(await readdir(root)).toEqual([]);
  });

  test.each(["countersign.yaml", "policy.yaml", "data"])(
    "a place where %s stands already is left alone",
    async (name) => {
      await mkdir(place);
      if (name === "data") await mkdir(join(place, name));
      else await writeFile(join(place, name), "version: 1\n# mine\n", { mode: 0o600 });
      const before = await readdir(place);
      const { exitCode, stderr } = await run(all("--solo"));
      expect(exitCode).toBe(1);
      expect(stderr).toContain("(LOG_EXISTS)");
      expect(await readdir(place)).toEqual(before);
      if (name !== "data") expect(await read(name)).toBe("version: 1\n# mine\n");
      expect(made).toEqual([]);
    },
  );

  test("a home whose log could not be made is finished by the next run, without asking again", async () => {
    fails = new CountersignError("STORE_UNSUPPORTED", "this file system cannot hold a log");
    expect((await run(all("--solo"))).stderr).toContain("(STORE_UNSUPPORTED)");
    const before = await read("countersign.yaml");
    fails = null;
    const { exitCode, stderr } = await run([]);
    expect(exitCode).toBe(0);
    expect(stderr).toContain("finished the home that was begun");
    expect(await read("countersign.yaml")).toBe(before);
    expect(made).toHaveLength(1);
  });

  test("a finished home is never made again", async () => {
    await run(all("--solo"));
    const { exitCode, stderr } = await run(all("--solo"));
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(LOG_EXISTS)");
    expect(made).toHaveLength(1);
  });

  test("at a terminal it asks until an answer fits, and an interruption leaves nothing", async () => {
    const answers = [
      "Ana Ruiz",
      "ana",
      "Ana Ruiz",
      "x",
      "1",
      "",
      "n",
      "ana",
      "ben",
      join(keys.dir, "ben.pub"),
      "n",
    ];
    await mkdir(join(root, ".ssh"));
    for (const file of ["id_ed25519", "id_ed25519.pub"]) {
      await writeFile(join(root, ".ssh", file), await readFile(join(keys.dir, file)), { mode: 0o600 });
    }
    const { exitCode } = await run([], answers);
    expect(exitCode).toBe(0);
    expect(await read("policy.yaml")).toContain("approvers: [ana, ben]");
    expect(await read("policy.yaml")).toContain("claude-desktop: { owners: [ana] }");
    await rm(place, { recursive: true });
    const interrupted = await run([], answers.slice(0, 5));
    expect(interrupted.exitCode).toBe(2);
    expect(interrupted.stderr).toContain("nothing was written");
    expect(await readdir(root)).toEqual([".ssh"]);
  });
});
