import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestJson } from "../../src/base/digest.ts";
import { ok } from "../../src/base/result.ts";
import type { CliParts } from "../../src/cli/parts.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import { cliRun, recordServing, settingsOf, type CliRun } from "../support/cli-run.ts";
import { createScriptedHome, person, scriptedPolicy, type ScriptedHome } from "../support/scripted-home.ts";

let root: string;
let around: Surroundings;
let home: ScriptedHome;
const policy = scriptedPolicy({
  people: [person("ana", [], { os: ["1000@laptop"] }), person("ben")],
  groups: { sre: ["ana", "ben"] },
});
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "countersign-cli-")));
  await mkdir(join(root, "data"));
  around = {
    env: { COUNTERSIGN_HOME: root },
    cwd: root,
    platform: "linux",
    userHome: root,
    account: "1000@laptop",
  };
  home = createScriptedHome({ policy });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const run = (argv: readonly string[], more: Partial<Parameters<typeof cliRun>[1]> = {}): Promise<CliRun> =>
  cliRun(argv, { home, around, ...more });

const RAW = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069]/;
const NASTY = "\u001b]0;owned\u0007 \u202eevil\r\n\u009b2J";

describe("listings", () => {
  test("an empty inbox says so; in JSON it is an empty list", async () => {
    expect(await run(["pending"])).toEqual({ exitCode: 0, stdout: "nothing waits for people\n", stderr: "" });
    home = createScriptedHome({ policy });
    expect((await run(["pending", "--json"])).stdout).toBe("[]\n");
    home = createScriptedHome({ policy });
    expect((await run(["requests"])).stdout).toBe("no request yet\n");
  });

  test("what waits is listed by deadline, in lines that fit", async () => {
    const later = home.ask({ withinMs: 3_600_000 });
    const sooner = home.ask({ withinMs: 60_000, preview: { summary: `deploy ${"very ".repeat(60)}long` } });
    const { stdout } = await run(["pending"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^CODE +LEFT +NEEDS +AGENT$/);
    expect(lines[1]).toContain(sooner.code);
    expect(lines.at(-2)).toContain(later.code);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    // The summary stands whole under its line.
    expect(stdout.replace(/\s+/g, " ")).toContain(`deploy ${"very ".repeat(60)}long`);
  });

  test.each(["pending", "requests", "show", "log list"])(
    "%s prints nothing of a backend or an agent raw, in text or JSON (P3)",
    async (command) => {
      const open = home.ask({
        view: { effectLine: NASTY, reasoning: { justification: NASTY, chain: NASTY } },
        preview: { summary: NASTY, documents: [{ title: NASTY, kind: "text", body: NASTY }] },
        requester: { agent: NASTY, principal: { kind: "person", id: NASTY } },
      });
      for (const flags of [[], ["--json"]]) {
        home.closed = false;
        const words = [...command.split(" "), ...(command === "show" ? [open.code] : []), ...flags];
        const { exitCode, stdout, stderr } = await run(words);
        expect(exitCode).toBe(0);
        expect(stdout).not.toMatch(RAW);
        expect(stderr).toBe("");
        if (flags.length > 0)
          expect(JSON.stringify(JSON.parse(stdout))).toContain(JSON.stringify(NASTY).slice(1, -1));
      }
    },
  );

  test("JSON carries what a script needs to decide", async () => {
    const open = home.ask();
    const [entry] = JSON.parse((await run(["pending", "--json"])).stdout) as Record<string, unknown>[];
    expect(entry).toMatchObject({
      request: open.request,
      code: open.code,
      digest: open.digest,
      deadline: "2026-11-21T10:30:00.000Z",
      clauses: [{ from: ["sre"], count: 1, assurance: "A2", by: [], missing: 1 }],
    });
  });

  test("requests shows what became of each, newest first", async () => {
    const first = home.ask();
    const second = home.ask();
    home.end(first.request, "done");
    home.end(second.request, "denied");
    const { stdout } = await run(["requests"]);
    const states = stdout.split("\n").filter((line) => /^(denied|done) /.test(line));
    expect(states.map((line) => line.split(" ")[0])).toEqual(["denied", "done"]);
  });
});

describe("show", () => {
  test("a question that waits is shown whole, with what can be done", async () => {
    const open = home.ask();
    const { stdout } = await run(["show", open.code.toLowerCase()]);
    expect(stdout).toContain("agent's stated reasoning (unverified)");
    expect(stdout).toContain(`countersign approve ${open.code}`);
    expect(stdout).toContain(`countersign deny ${open.code}`);
  });

  test("a view that is not complete is shown with deny as the only thing to do (C4)", async () => {
    const open = home.ask({ preview: { complete: false } });
    const { stdout } = await run(["show", open.code]);
    expect(stdout).not.toContain("countersign approve");
    expect(stdout).toContain(`countersign deny ${open.code}`);
  });

  test("a request that is over is shown by its history", async () => {
    const open = home.ask();
    home.end(open.request, "denied");
    const { exitCode, stdout } = await run(["show", open.request]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`${open.request}  denied`);
    expect(stdout).toMatch(/#1 .*consent\.asked/);
  });

  test("a request nobody knows is said with where to look", async () => {
    const { exitCode, stderr } = await run(["show", "XXXXXX"]);
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      "error: no request XXXXXX (REQUEST_NOT_FOUND)\nhint: see what waits: countersign pending; see all: countersign requests\n",
    );
  });

  test("a question that does not match its digest is not shown as one to answer", async () => {
    const open = home.ask();
    const forged = {
      ...home,
      desk: { ...home.desk, open: async () => ({ ...open, question: { ...open.question, guard: "other" } }) },
    };
    const { exitCode, stderr } = await run(["show", open.code], { home: forged });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(LOG_CORRUPT)");
  });
});

describe("the home", () => {
  test("is closed after a command, also after one that fails", async () => {
    await run(["pending"]);
    expect(home.closed).toBe(true);
    home = createScriptedHome({ policy });
    await run(["show", "XXXXXX"]);
    expect(home.closed).toBe(true);
  });

  test("that is missing is a configuration error with every way to name one", async () => {
    const { exitCode, stderr } = await run(["pending", "--home", "nowhere"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("(HOME_NOT_FOUND)");
    expect(stderr).toContain("--home DIR or COUNTERSIGN_HOME");
  });

  test("with a countersign.yaml that does not load lists every mistake with its place", async () => {
    await writeFile(join(root, "countersign.yaml"), "version: 2\nhld: 40s\n", { mode: 0o600 });
    const { exitCode, stderr } = await run(["pending"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("error: 2 mistakes (CONFIG_INVALID)");
    expect(stderr).toContain("countersign.yaml:2:1 hld: unknown key; did you mean hold?");
  });
});

describe("ask", () => {
  test("puts a question to the agent as the person whose account this is, and show has it", async () => {
    const open = home.ask();
    const { exitCode, stdout } = await run(["ask", open.code, "why \u202enow?"]);
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`asked as ana; see the answer: countersign show ${open.code}\n`);
    home.closed = false;
    const shown = (await run(["show", open.code])).stdout;
    expect(shown).toContain("asked back  ana: why ⟦U+202E⟧now?; not answered yet");
    expect(shown).toContain(`countersign ask ${open.code}`);
  });

  test("a request that is over, and a stranger, get a sentence with the next step", async () => {
    const open = home.ask();
    const stranger = { ...around, account: "1001@laptop" };
    expect((await run(["ask", open.code, "who?"], { around: stranger })).stderr).toContain("--as PERSON");
    home.closed = false;
    home.end(open.request, "denied");
    expect((await run(["ask", open.code, "why?"])).stderr).toContain(
      "is not waiting for people: it is denied",
    );
  });
});

describe("resolve", () => {
  const unknown = (): string => {
    const open = home.ask();
    home.end(open.request, "unknown");
    return open.request;
  };

  test("records what the person saw, as the person whose account this is", async () => {
    const request = unknown();
    const { exitCode, stdout } = await run(["resolve", request, "--ran", "--message", "it is live", "--yes"]);
    expect(exitCode).toBe(0);
    expect(home.resolved).toEqual([[request, "done", "ana", "it is live"]]);
    expect(stdout).toContain("recorded: it ran, says ana");
  });

  test("asks on the terminal, and takes no for an answer", async () => {
    const request = unknown();
    const no = await run(["resolve", request, "--did-not-run"], { typed: ["n"] });
    expect(no.exitCode).toBe(1);
    expect(home.resolved).toEqual([]);
    home.closed = false;
    await run(["resolve", request, "--did-not-run"], { typed: ["y"] });
    expect(home.resolved).toEqual([[request, "failed", "ana", "it did not run"]]);
  });

  test("never guesses: one of the two words has to be said, and the outcome has to be unknown", async () => {
    const request = unknown();
    expect((await run(["resolve", request])).exitCode).toBe(2);
    home.closed = false;
    expect((await run(["resolve", request, "--ran", "--did-not-run", "--yes"])).exitCode).toBe(2);
    home.closed = false;
    expect((await run(["resolve", request, "--ran"])).stderr).toContain("needs a terminal, or --yes");
    home.closed = false;
    const open = home.ask();
    const { exitCode, stderr } = await run(["resolve", open.request, "--ran", "--yes"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("is not unknown: it is held");
    expect(home.resolved).toEqual([]);
  });

  test("an account that the policy does not know has to say who it is", async () => {
    const request = unknown();
    const stranger = { ...around, account: "1001@laptop" };
    expect((await run(["resolve", request, "--ran", "--yes"], { around: stranger })).stderr).toContain(
      "--as PERSON",
    );
    home.closed = false;
    expect(
      (await run(["resolve", request, "--ran", "--yes", "--as", "eve"], { around: stranger })).stderr,
    ).toContain("knows no person eve");
    home.closed = false;
    await run(["resolve", request, "--ran", "--yes", "--as", "ben"], { around: stranger });
    expect(home.resolved[0]?.[2]).toBe("ben");
  });
});

describe("the log", () => {
  test("list shows the newest entries in order", async () => {
    home.grow(30);
    const { stdout } = await run(["log", "list", "-n", "3"]);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .flatMap((line) => /^ +(#\d+)/.exec(line)?.[1] ?? []),
    ).toEqual(["#28", "#29", "#30"]);
  });

  test("show prints one entry whole, and says where the log ends", async () => {
    expect(JSON.parse((await run(["log", "show", "0"])).stdout)).toMatchObject({
      kind: "log.opened",
      seq: 0,
    });
    home.closed = false;
    const { exitCode, stderr } = await run(["log", "show", "7"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("no entry 7: the log ends at 0");
  });

  test("tail prints what is there and what comes, each once, until interrupted", async () => {
    home.grow(2);
    const stop = new AbortController();
    const following = run(["log", "tail", "--json"], { parts: { interrupted: stop.signal } });
    setTimeout(() => home.grow(2), 50);
    setTimeout(() => stop.abort(), 700);
    const { stdout, exitCode } = await following;
    expect(exitCode).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { seq: number }).seq),
    ).toEqual([0, 1, 2, 3, 4]);
  });

  test("verify hands over the directory, keys and checkpoints, prints findings and fails on a fault", async () => {
    await writeFile(join(root, "note"), "a checkpoint\n");
    const asked: unknown[] = [];
    const logTools: CliParts["logTools"] = {
      verifyLog: async (directory, options) => {
        asked.push([directory, options]);
        return {
          ok: false,
          logId: "log_x",
          key: "k",
          checkpoint: { size: 3, root: digestJson("view", 1) },
          entries: 4,
          uncovered: 1,
          requests: 1,
          decisions: 1,
          findings: [
            { code: "uncovered", severity: "notice", message: "1 entry is not signed yet", seq: null },
            { code: "changed", severity: "fault", message: `not ${NASTY}`, seq: 2 },
          ],
          unlisted: 0,
        };
      },
      buildReceipt: async () => "receipt",
      verifyReceipt: async () => ({ ok: true, request: "req_1", key: "k", findings: [], summary: null }),
    };
    const { exitCode, stdout } = await run(["log", "verify", "--key", "K", "--against", join(root, "note")], {
      parts: { logTools },
    });
    expect(asked).toEqual([[join(root, "data", "log"), { key: "K", against: ["a checkpoint\n"] }]]);
    expect(exitCode).toBe(1);
    expect(stdout).not.toMatch(RAW);
    expect(
      stdout
        .split("\n")
        .slice(0, 2)
        .map((line) => line.split(":")[0]),
    ).toEqual(["FAULT  changed #2", "notice uncovered"]);
    expect(stdout).toContain("the log is not what was signed");
  });

  test("a receipt goes to a new file, or to a pipe, never onto a screen", async () => {
    const open = home.ask();
    const logTools: CliParts["logTools"] = {
      verifyLog: () => Promise.reject(new Error("not asked for")),
      buildReceipt: async (_store, request) => `receipt of ${request}\n`,
      verifyReceipt: async (text, options) => ({
        ok: text.startsWith("receipt"),
        request: "req_1",
        key: options.key ?? "own",

        findings: [],
        summary: null,
      }),
    };
    const file = join(root, "r.json");
    expect((await run(["log", "receipt", open.code, "-o", file], { parts: { logTools } })).exitCode).toBe(0);
    expect(await readFile(file, "utf8")).toBe(`receipt of ${open.request}\n`);
    home.closed = false;
    expect((await run(["log", "receipt", open.code, "-o", file], { parts: { logTools } })).stderr).toContain(
      "exists already",
    );
    home.closed = false;
    expect((await run(["log", "receipt", open.code], { parts: { logTools } })).stdout).toBe(
      `receipt of ${open.request}\n`,
    );
    home.closed = false;
    expect(
      (await run(["log", "receipt", open.code], { parts: { logTools }, stdoutIsTTY: true })).exitCode,
    ).toBe(2);

    const good = await run(["verify", file], { parts: { logTools } });
    expect(good.exitCode).toBe(0);
    expect(good.stdout).toContain("that key came with the receipt");
    expect((await run(["verify", file, "--key", "mine"], { parts: { logTools } })).stdout).toContain(
      "checked with mine",
    );
    await writeFile(file, "something else");
    expect((await run(["verify", file], { parts: { logTools } })).exitCode).toBe(1);
    expect((await run(["verify", join(root, "none")], { parts: { logTools } })).exitCode).toBe(2);
  });
});

describe("policy", () => {
  const tools = (given: Partial<CliParts["policyTools"]>): Partial<CliParts> => ({
    policyTools: {
      load: () => ok({ policy, notes: [] }),
      test: () => ({ tests: [] }),
      readCall: () => ok({} as never),
      ...given,
    },
  });

  test("check says line and column, and needs no home", async () => {
    const file = join(root, "p.yaml");
    await writeFile(file, "rules: []\n");
    const bad = await cliRun(["policy", "check", "p.yaml"], { around: { ...around, env: {} } });
    expect(bad.exitCode).toBe(1);
    expect(bad.stdout).toContain("error p.yaml:1:1 version: missing; expected 1");
    await writeFile(file, "version: 1\n");
    const good = await cliRun(["policy", "check", "p.yaml", "--json"], { around: { ...around, env: {} } });
    expect(good.exitCode).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({ file: "p.yaml", ok: true, errors: [] });
    const missing = await cliRun(["policy", "check", "none.yaml"], { around });
    expect(missing.exitCode).toBe(1);
    expect(missing.stderr).toContain("none.yaml cannot be read (POLICY_INVALID)");
  });

  test("without a file it is the home's", async () => {
    await writeFile(join(root, "policy.yaml"), "version: 1\n");
    expect((await run(["policy", "check"])).stdout).toContain("ok    policy.yaml: 0 people, 1 agent,");
  });

  test("test says which expectation failed, and exits 1", async () => {
    await writeFile(join(root, "policy.yaml"), "version: 1\n");
    const results = [
      { it: "holds a deploy", line: 4, passed: true, differences: [], got: "hold by default" },
      {
        it: `denies ${NASTY}`,
        line: 7,
        passed: false,
        differences: ["verdict: expected deny, got hold"],
        got: "hold by default",
      },
    ];
    const { exitCode, stdout } = await run(["policy", "test"], {
      parts: tools({ test: () => ({ tests: results }) }),
    });
    expect(exitCode).toBe(1);
    expect(stdout).toContain("ok   holds a deploy (policy.yaml:4)");
    expect(stdout).toContain("     verdict: expected deny, got hold\n     decided: hold by default");
    expect(stdout).toContain("1 of 2 passed");
    expect(stdout).not.toMatch(RAW);
  });

  test("explain reads the call from a file or from standard input, and shows every candidate", async () => {
    await writeFile(join(root, "policy.yaml"), "version: 1\n");
    const seen: unknown[] = [];
    const explaining = {
      ...policy,
      explain: () => ({
        verdict: {
          verdict: "hold",
          rules: [{ id: "r1" }],
          because: ["people look"],
          requirement: null,
          shadow: [],
        },
        candidates: [
          { id: "r1", verdict: "hold", outcome: "matched", why: "match.environment is prod", line: 12 },
        ],
      }),
    } as unknown as typeof policy;
    const parts = tools({
      load: () => ok({ policy: explaining, notes: [] }),
      readCall: (call) => {
        seen.push(call);
        return ok({} as never);
      },
    });
    const { exitCode, stdout } = await run(["policy", "explain", "-"], {
      parts,
      stdin: '{"tool":"deploy_service"}',
    });
    expect(exitCode).toBe(0);
    expect(seen).toEqual([{ tool: "deploy_service" }]);
    expect(stdout).toContain("hold by r1");
    expect(stdout).toMatch(/12 {2}r1 {4}hold {2}matched {2}match\.environment is prod/);
    expect((await run(["policy", "explain", "-"], { parts, stdin: "no json" })).exitCode).toBe(2);
  });
});

describe("serving", () => {
  test("start, mcp and demo hand over what was said, and nothing else", async () => {
    const { asked, serve } = recordServing();
    const parts = { serve };
    await run(["start", "--mcp", "127.0.0.1:0", "--log-level", "debug"], { parts });
    await run(["mcp", "--agent", "claude-code", "--principal", "ana"], { parts });
    await run(["start", "--demo", "--mcp", "127.0.0.1:0"], { parts });
    await run(["demo"], { parts });
    await run(["demo"], { parts, typed: [] });
    await run(["demo", "--auto"], { parts, typed: [] });
    expect(settingsOf(asked[0])).toMatchObject({
      home: root,
      listeners: { mcp: { port: 0 } },
      logLevel: "debug",
    });
    expect(settingsOf(asked[1])).toMatchObject({ stdio: { agent: "claude-code", principal: "ana" } });
    expect(asked.slice(2)).toEqual([
      { kind: "start_demo", mcp: { host: "127.0.0.1", port: 0 }, api: null },
      { kind: "demo", auto: true },
      { kind: "demo", auto: false },
      { kind: "demo", auto: true },
    ]);
  });

  test("a spawned gateway does not take the countersign.yaml of its working directory", async () => {
    await writeFile(join(root, "countersign.yaml"), "version: 1\nisolation: service\n", { mode: 0o600 });
    const { asked, serve } = recordServing();
    const spawned = { ...around, env: {}, userHome: join(root, "elsewhere") };
    const { exitCode, stderr } = await run(["mcp"], { around: spawned, parts: { serve } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("(HOME_NOT_FOUND)");
    expect(asked).toEqual([]);
  });

  test("the demo takes no home", async () => {
    expect((await run(["start", "--demo", "--home", root])).stderr).toContain(
      "--demo makes a home of its own",
    );
  });
});

describe("colour", () => {
  test("is there on a terminal, and not with NO_COLOR, --no-color, a dumb terminal or a pipe", async () => {
    const colourful = async (
      argv: readonly string[],
      env: Record<string, string>,
      tty: boolean,
    ): Promise<boolean> => {
      home = createScriptedHome({ policy });
      home.ask();
      const { stdout } = await run(argv, {
        around: { ...around, env: { ...around.env, ...env } },
        stdoutIsTTY: tty,
      });
      return stdout.includes("\u001b[");
    };
    expect(await colourful(["pending"], {}, true)).toBe(true);
    expect(await colourful(["pending"], {}, false)).toBe(false);
    expect(await colourful(["pending"], { NO_COLOR: "1" }, true)).toBe(false);
    expect(await colourful(["pending"], { NO_COLOR: "" }, true)).toBe(true);
    expect(await colourful(["pending"], { TERM: "dumb" }, true)).toBe(false);
    expect(await colourful(["pending", "--no-color"], {}, true)).toBe(false);
  });
});
