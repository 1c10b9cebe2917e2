import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseStatementFile } from "../../src/consent/channels/cli/statement-file.ts";
import { SSHSIG_NAMESPACE, statementBytes } from "../../src/consent/statement.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import { CountersignError } from "../../src/errors.ts";
import { cliRun, type CliRun } from "../support/cli-run.ts";
import { createScriptedHome, person, scriptedPolicy, type ScriptedHome } from "../support/scripted-home.ts";
import { sshProof } from "../support/ssh-proof.ts";
import { createKeyDir, missingSshKeygen, opensshVerifies, type KeyDir } from "../support/ssh-keys.ts";

// From a command line to a decision in the desk: is it the right person's, over the question that was shown, and only
// when that person said so?

const missing = missingSshKeygen();

describe.skipIf(missing !== null)(`deciding in the terminal ${missing ?? ""}`, () => {
  let keys: KeyDir;
  let root: string;
  let around: Surroundings;
  let home: ScriptedHome;
  let fingerprint: string;

  beforeAll(() => {
    keys = createKeyDir();
    fingerprint = keys.make("id_ed25519");
    keys.make("other");
  });
  afterAll(() => keys.remove());
  beforeEach(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), "countersign-decide-")));
    await mkdir(join(root, "data"));
    await mkdir(join(root, ".ssh"));
    for (const file of ["id_ed25519", "id_ed25519.pub"]) {
      await writeFile(join(root, ".ssh", file), await readFile(join(keys.dir, file)), { mode: 0o600 });
    }
    const env = { COUNTERSIGN_HOME: root, PATH: process.env["PATH"] ?? "" };
    around = { env, cwd: root, platform: "linux", userHome: root, account: "1000@laptop" };
    home = homeWith({});
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const homeWith = (more: { readonly solo?: string }): ScriptedHome =>
    createScriptedHome({
      policy: scriptedPolicy({
        people: [person("ana", [keys.fingerprint("other")]), person("ben", [fingerprint]), person("dee")],
        groups: { sre: ["ana", "ben"] },
        ...more,
      }),
    });
  const run = async (argv: readonly string[], typed?: readonly string[]): Promise<CliRun> => {
    home.closed = false;
    return cliRun(argv, { home, around, ...(typed === undefined ? {} : { typed }) });
  };

  describe("approve", () => {
    test("shows the whole question, asks, and hands in a signature by the person's key over that question", async () => {
      const open = home.ask();
      const { exitCode, stdout } = await run(["approve", open.code, "--reason", "looks right"], ["y"]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain("agent's stated reasoning (unverified)");
      expect(stdout).toContain(`granted ${open.code}`);
      const [accepted] = home.accepted;
      expect(accepted?.statement).toMatchObject({
        decision: "approve",
        question: open.digest,
        approver: "ben",
        reason: "looks right",
        solo: false,
      });
      expect(accepted?.proof).toMatchObject({ kind: "sshsig", fingerprint, channel: "cli" });
      const bytes = statementBytes(accepted?.statement as never);
      expect(
        opensshVerifies(keys, "id_ed25519", SSHSIG_NAMESPACE, bytes, sshProof(accepted?.proof).signature),
      ).toBe(true);
    });

    test("the statement binds the head of the log that this account checked, and the next one has to extend it", async () => {
      const first = home.ask();
      const head = home.store.head();
      await run(["approve", first.code], ["y"]);
      expect(home.accepted[0]?.statement.log).toEqual({ size: head.size, root: head.root });
      home.grow(3);
      const second = home.ask();
      await run(["approve", second.code], ["y"]);
      expect(home.accepted[1]?.statement.log?.size).toBe(home.store.head().size);
    });

    test.each(["edit", "truncate"] as const)(
      "nothing is approved over a log that was rewritten (%s); a deny still is, and says nothing of the log",
      async (change) => {
        const first = home.ask();
        home.grow(4);
        await run(["approve", first.code], ["y"]);
        const open = home.ask({ preview: { summary: "another" } });
        home.rewrite(change);
        if (change === "truncate") home.rewrite("truncate");
        const refused = await run(["approve", open.code], ["y"]);
        expect(refused.exitCode).toBe(1);
        expect(refused.stderr).toContain("(LOG_ROLLED_BACK)");
        expect(refused.stdout).toBe("");
        expect(home.accepted).toHaveLength(1);
        const denied = await run(["deny", open.code]);
        expect(denied.exitCode).toBe(0);
        expect(denied.stderr).toContain("warning:");
        expect(home.accepted[1]?.statement).toMatchObject({ decision: "deny", log: null });
      },
    );

    test.each([["n"], [""], []])("anything but yes signs nothing (%s)", async (...typed) => {
      const open = home.ask();
      const { exitCode, stderr } = await run(["approve", open.code], typed);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("nothing was signed");
      expect(home.accepted).toEqual([]);
    });

    test.each([
      ["destructive", { view: { effect: "destructive" } }],
      ["privilege", { view: { effect: "privilege" } }],
      ["asked for A3", { clauses: [{ from: ["sre"], count: 1, assurance: "A3" as const }] }],
    ])("what is %s is approved by typing its code, and y is not enough", async (_what, question) => {
      const open = home.ask(question);
      const wrong = await run(["approve", open.code], ["y"]);
      expect(wrong.exitCode).toBe(2);
      expect(wrong.stderr).toContain('"y" is not the code of what was shown');
      expect(home.accepted).toEqual([]);
      expect((await run(["approve", open.code], [open.code.toLowerCase()])).exitCode).toBe(0);
      expect(home.accepted).toHaveLength(1);
    });

    test("without a terminal it needs --yes and the code of exactly this question", async () => {
      const open = home.ask();
      expect((await run(["approve", open.code])).stderr).toContain("needs a terminal, or --yes with --code");
      expect((await run(["approve", open.request, "--yes"])).stderr).toContain("--yes needs --code");
      const wrong = await run(["approve", open.request, "--yes", "--code", "222222"]);
      expect(wrong.exitCode).toBe(2);
      expect(wrong.stderr).toContain("222222 is not the code of this question");
      expect(home.accepted).toEqual([]);
      expect((await run(["approve", open.request, "--yes", "--code", open.code])).exitCode).toBe(0);
      expect(home.accepted).toHaveLength(1);
    });

    test("a view that was not complete is refused before anything is asked (C4)", async () => {
      const open = home.ask({ preview: { complete: false } });
      const { exitCode, stderr } = await run(["approve", open.code], ["y"]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("partial_view");
      expect(home.accepted).toEqual([]);
      expect((await run(["deny", open.code])).exitCode).toBe(0);
    });

    test("what the desk refuses is said with its code, and exits 1", async () => {
      const open = home.ask({ requester: { principal: { kind: "person", id: "ben" } } });
      const { exitCode, stderr } = await run(["approve", open.code], ["y"]);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/error: .*\(self_approval\) \(DECISION_REFUSED\)/);
    });

    test("a request that is over is said to be over", async () => {
      const open = home.ask();
      home.end(open.request, "expired");
      const { exitCode, stderr } = await run(["approve", open.code], ["y"]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain(`${open.request} is not waiting for people: it is expired`);
    });

    test("one of two says what is still missing", async () => {
      const open = home.ask({ clauses: [{ from: ["sre"], count: 2, assurance: "A2" }] });
      const { stdout } = await run(["approve", open.code], ["y"]);
      expect(stdout).toContain(`recorded ${open.code}; it needs 1 more of sre`);
    });

    test("a draft about anything else than what was shown is not signed", async () => {
      const open = home.ask();
      const { desk } = home;
      const lying = {
        ...home,
        desk: {
          ...desk,
          draft: async (...args: Parameters<typeof desk.draft>) => ({
            ...(await desk.draft(...args)),
            question: home.ask({ view: { effect: "read" } }).digest,
          }),
        },
      };
      const { exitCode, stderr } = await cliRun(["approve", open.code], {
        home: lying,
        around,
        typed: ["y"],
      });
      expect(exitCode).toBe(1);
      expect(stderr).toContain("not about the question that was shown");
      expect(home.accepted).toEqual([]);
    });

    test("the key decides who signs; a key of nobody is refused with the line to add", async () => {
      const open = home.ask();
      const stranger = keys.make("stranger");
      const { exitCode, stderr } = await run(
        ["approve", open.code, "--key", join(keys.dir, "stranger")],
        ["y"],
      );
      expect(exitCode).toBe(1);
      expect(stderr).toContain(`people.<you>.ssh: ["${stranger}"]`);
      await rm(join(keys.dir, "stranger"));
      await rm(join(keys.dir, "stranger.pub"));
    });

    test("the outcome is waited for where somebody watches", async () => {
      const open = home.ask();
      expect((await run(["approve", open.code], ["y"])).stdout).toMatch(/ {2}done: deploy web/);
      const second = home.ask({ preview: { summary: "second" } });
      expect((await run(["approve", second.code, "--no-wait"], ["y"])).stdout).not.toContain("done");
    });
  });

  describe("someone alone (C6)", () => {
    const solo = () => {
      home = homeWith({ solo: "ben" });
      return home.ask({
        requester: { principal: { kind: "person", id: "ben" }, owners: ["ben"] },
        solo: "ben",
      });
    };

    test("is refused with a key that opens without a passphrase", async () => {
      const open = solo();
      const { exitCode, stderr } = await run(["approve", open.code], [open.code]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("opens without a passphrase");
      expect(stderr).toContain("ssh-keygen -p -f");
      expect(home.accepted).toEqual([]);
    });

    test("is never answered for by a flag, with or without a terminal", async () => {
      const open = solo();
      for (const typed of [undefined, [open.code]]) {
        const { exitCode, stderr } = await run(["approve", open.code, "--yes", "--code", open.code], typed);
        expect(exitCode).toBe(2);
        expect(stderr).toContain("(C6)");
      }
      expect(home.accepted).toEqual([]);
    });

    test("may not hand in a signature made elsewhere: nobody saw its passphrase asked", async () => {
      const open = solo();
      const file = join(root, "approval.txt");
      await run(["approve", open.code, "--print-statement", file], []);
      execFileSync(
        "ssh-keygen",
        ["-q", "-Y", "sign", "-n", SSHSIG_NAMESPACE, "-f", join(keys.dir, "id_ed25519"), file],
        { stdio: "ignore" },
      );
      const { exitCode, stderr } = await run(["approve", open.code, "--signature", `${file}.sig`], []);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("signed on this terminal (C6)");
      expect(home.accepted).toEqual([]);
    });

    test("may deny without any of it: failing safe is cheap (C3)", async () => {
      const open = solo();
      const { exitCode } = await run(["deny", open.code, "--as", "ben"]);
      expect(exitCode).toBe(0);
      expect(home.accepted[0]?.statement.decision).toBe("deny");
    });
  });

  describe("deny and take-back", () => {
    test("a deny asks nothing and carries the person's words", async () => {
      const open = home.ask();
      const { exitCode, stdout } = await run(["deny", open.code, "--reason", "not in the freeze"]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`denied ${open.code}`);
      expect(home.accepted[0]?.statement).toMatchObject({
        decision: "deny",
        reason: "not in the freeze",
        approver: "ben",
      });
    });

    test("an approval is taken back while others are still missing", async () => {
      const open = home.ask({ clauses: [{ from: ["sre"], count: 2, assurance: "A2" }] });
      await run(["approve", open.code], ["y"]);
      const { exitCode, stdout } = await run(["take-back", open.code]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`taken back ${open.code}; it needs 2 more of sre`);
      expect(home.accepted[1]?.statement.decision).toBe("take_back");
    });
  });

  describe("signing elsewhere", () => {
    test("the statement goes out as the exact bytes, is signed by anybody's ssh-keygen, and comes back", async () => {
      const open = home.ask();
      const file = join(root, "approval.txt");
      const printed = await run(["approve", open.code, "--print-statement", file]);
      expect(printed.exitCode).toBe(0);
      expect(printed.stdout).toContain(`ssh-keygen -Y sign -n ${SSHSIG_NAMESPACE} -f KEY ${file}`);
      expect(home.accepted).toEqual([]);
      const bytes = await readFile(file);
      expect(bytes.toString("utf8")).toMatch(/^countersign\.decision\.v1\n\{"approver":"ben",/);
      execFileSync(
        "ssh-keygen",
        ["-q", "-Y", "sign", "-n", SSHSIG_NAMESPACE, "-f", join(keys.dir, "id_ed25519"), file],
        { stdio: "ignore" },
      );
      const { exitCode, stdout } = await run(["approve", open.code, "--signature", `${file}.sig`]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`granted ${open.code}`);
      expect(statementBytes(home.accepted[0]?.statement as never)).toEqual(new Uint8Array(bytes));
      expect((await run(["approve", open.code, "--print-statement", file])).exitCode).not.toBe(0);
    });

    test("a statement of another question, or another decision, or changed by one byte, is not handed in", async () => {
      const one = home.ask();
      const two = home.ask({ preview: { summary: "two" } });
      const file = join(root, "s");
      await run(["approve", one.code, "--print-statement", file]);
      execFileSync(
        "ssh-keygen",
        ["-q", "-Y", "sign", "-n", SSHSIG_NAMESPACE, "-f", join(keys.dir, "id_ed25519"), file],
        { stdio: "ignore" },
      );
      expect((await run(["approve", two.code, "--signature", `${file}.sig`])).stderr).toContain(
        "digest_mismatch",
      );
      expect((await run(["deny", one.code, "--signature", `${file}.sig`])).stderr).toContain(
        "this is a statement to approve",
      );
      await writeFile(file, (await readFile(file, "utf8")).replace("ben", "ana"));
      expect((await run(["approve", one.code, "--signature", `${file}.sig`])).stderr).toContain(
        "(SIGNATURE_INVALID)",
      );
      await writeFile(file, (await readFile(file, "utf8")).replace('":', '": '));
      expect((await run(["approve", one.code, "--signature", `${file}.sig`])).stderr).toContain(
        "byte for byte",
      );
      expect((await run(["approve", one.code, "--signature", join(root, "none")])).exitCode).toBe(2);
      expect(home.accepted).toEqual([]);
    });

    test("a statement file is read only if writing it again gives the same bytes", async () => {
      const open = home.ask();
      const draft = await home.desk.draft(open.request, {
        decision: "approve",
        person: "ben",
        reason: null,
        log: null,
      });
      const bytes = statementBytes(draft);
      expect(parseStatementFile(bytes)).toEqual(draft);
      const text = Buffer.from(bytes).toString("utf8");
      for (const changed of [
        text.replace("decision.v1", "decision.v2"),
        text.replace('"v":1', '"v":1,"extra":true'),
        text.replace('"v":1', '"v":1.0'),
        `${text}\n`,
        text.replace(/\{.*/s, ""),
        text.replace('"approve"', '"grant"'),
      ]) {
        expect(changed).not.toBe(text);
        expect(() => parseStatementFile(Buffer.from(changed))).toThrow(CountersignError);
      }
    });
  });

  describe("adopting a policy", () => {
    const proposed = `sha256:${"a".repeat(64)}` as const;
    const propose = (more: object = {}): void =>
      home.propose({
        revision: proposed,
        diff: [
          { text: "rule prod-deletes: quorum 2 -> 1", weaker: true },
          { text: "rule exports: new", weaker: false },
        ],
        needs: { by: ["sre"], quorum: 1, assurance: "A2" },
        ...more,
      });

    test("shows what changes and what is weaker, asks, and signs old and new revision", async () => {
      propose();
      const { exitCode, stdout } = await run(["policy", "adopt"], ["y"]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain("! rule prod-deletes: quorum 2 -> 1");
      expect(stdout).toContain("1 of these lines ask for less than before");
      expect(stdout).toContain(`adopted ${proposed}`);
      expect(home.adopted).toEqual([proposed]);
    });

    test("nothing changed, nothing signed; a file that does not load is said with its mistakes", async () => {
      expect((await run(["policy", "adopt"])).stdout).toContain("nothing to adopt");
      propose({ revision: null, errors: ["policy.yaml:1:1 a", "policy.yaml:2:1 b"] });
      const { exitCode, stderr } = await run(["policy", "adopt"], ["y"]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("2 mistakes (POLICY_INVALID)");
      expect(home.adopted).toEqual([]);
    });

    test("without a terminal it needs --yes and the exact revision", async () => {
      propose();
      expect((await run(["policy", "adopt"])).exitCode).toBe(2);
      expect((await run(["policy", "adopt", "--yes"])).stderr).toContain("--yes needs --revision");
      expect((await run(["policy", "adopt", "--yes", "--revision", "sha256:00"])).exitCode).toBe(2);
      expect(home.adopted).toEqual([]);
      expect((await run(["policy", "adopt", "--yes", "--revision", proposed])).exitCode).toBe(0);
    });

    test("two people: one saves a statement, the other adds it and adopts", async () => {
      propose({ needs: { by: ["sre"], quorum: 2, assurance: "A2" } });
      const file = join(root, "ben.json");
      expect((await run(["policy", "adopt", "--save", file], ["y"])).exitCode).toBe(0);
      expect(home.adopted).toEqual([]);
      const alone = await run(["policy", "adopt"], ["y"]);
      expect(alone.exitCode).toBe(1);
      expect(alone.stderr).toContain("(ADOPTION_REFUSED)");
      const other = ["--key", join(keys.dir, "other")];
      expect((await run(["policy", "adopt", "--with", file, ...other], ["y"])).exitCode).toBe(0);
      expect(home.adopted).toEqual([proposed]);
      await writeFile(file, "{}");
      expect((await run(["policy", "adopt", "--with", file, ...other], ["y"])).stderr).toContain(
        "(SIGNATURE_INVALID)",
      );
    });

    test("someone alone signs it as they sign an approval (C6)", async () => {
      home = homeWith({ solo: "ben" });
      propose();
      expect((await run(["policy", "adopt"], ["y"])).stderr).toContain("opens without a passphrase");
      expect((await run(["policy", "adopt", "--yes", "--revision", proposed], [])).stderr).toContain("(C6)");
      expect(home.adopted).toEqual([]);
    });

    test("nothing is adopted over a log that was rewritten", async () => {
      const open = home.ask();
      home.grow(3);
      await run(["approve", open.code], ["y"]);
      home.rewrite("edit");
      propose();
      const { exitCode, stderr } = await run(["policy", "adopt"], ["y"]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("(LOG_ROLLED_BACK)");
      expect(home.adopted).toEqual([]);
    });
  });
});
