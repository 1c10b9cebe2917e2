import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { checkTool, runToolCheck, TOOL_CHECKS, type ToolWorld } from "../../src/tool-kit.ts";
import { defineTool, NoEffect, type Tool, type ToolContext } from "../../src/tool.ts";
import { describeToolContract } from "./tool-kit.ts";

// Does the kit see anything at all? A small honest tool passes it, and each way of breaking the contract is caught by
// the check that is meant for it.

const dir = mkdtempSync(join(tmpdir(), "cs-kit-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const file = join(dir, "flag");
const secret = "s3cret-in-the-target";
const read = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "none");

interface Faults {
  previewWrites?: boolean;
  randomGuard?: boolean;
  blindGuard?: boolean;
  executeIgnoresWorld?: boolean;
  throwsPlainly?: boolean;
  runsTwice?: boolean;
  doesNothing?: boolean;
  wrongOutput?: boolean;
  alwaysDone?: boolean;
  revokeHalf?: boolean;
  revokeOnce?: boolean;
  leaksInView?: boolean;
  leaksInRefusal?: boolean;
  slowTargets?: boolean;
  clockInTargets?: boolean;
  planWithDate?: boolean;
  remembersPlan?: boolean;
  leavesChild?: boolean;
  leavesEscapedChild?: boolean;
  ignoresAbort?: boolean;
  claimsNoEffect?: boolean;
  badView?: boolean;
}

/** Sets a flag in a file, compare-and-set. */
function flagTool(faults: Faults): Tool {
  const plan = z.strictObject({ to: z.string(), from: z.string(), at: z.unknown().optional() });
  const known = new WeakSet<object>();
  const refuse = (text: string): never => {
    if (faults.leaksInRefusal === true) throw new NoEffect("stale", `found ${secret}`);
    throw faults.throwsPlainly === true ? new Error(text) : new NoEffect("stale", text);
  };
  const child = (detached: boolean): void => {
    spawn("/bin/sh", ["-c", "sleep 3"], { detached, stdio: "ignore" }).unref();
  };
  return defineTool({
    name: "set_flag",
    title: "Set the flag",
    description: "Sets the flag.",
    input: z.strictObject({ to: z.string().regex(/^[a-z]+$/) }),
    output: z.strictObject({ was: z.string() }),
    plan,
    undo: z.strictObject({ to: z.string(), from: z.string() }),
    effect: "write",
    idempotent: false,
    refusals: {},
    targets(input) {
      if (faults.slowTargets === true) return Promise.resolve([]) as never;
      const id = faults.clockInTargets === true ? String(performance.now()) : input.to;
      return [{ kind: "flag", id, environment: "demo" }];
    },
    async preview(input, ctx: ToolContext) {
      if (faults.leavesChild === true) child(false);
      if (faults.leavesEscapedChild === true) child(true);
      await sleep(30, undefined, faults.ignoresAbort === true ? {} : { signal: ctx.signal });
      if (faults.ignoresAbort === true && ctx.signal.aborted) await sleep(60_000);
      const from = read();
      if (faults.previewWrites === true) writeFileSync(file, "previewed");
      const made = { to: input.to, from, ...(faults.planWithDate === true ? { at: new Date() } : {}) };
      known.add(made);
      return {
        plan: made,
        view: {
          summary: faults.badView === true ? "" : `set the flag to ${input.to}`,
          verb: "SET",
          changes: [
            {
              op: "update",
              resource: "flag",
              before: faults.leaksInView === true ? secret : from,
              after: input.to,
            },
          ],
          counts: {},
          facts: {},
          warnings: [],
          documents: [],
          complete: true,
          reversible: "set it back",
          fidelity: "checked",
        },
        guard: faults.randomGuard === true ? String(Math.random()) : `from ${from}`,
        expiresAt: null,
      };
    },
    guard: (sealed) => Promise.resolve(faults.blindGuard === true ? `from ${sealed.from}` : `from ${read()}`),
    async execute(sealed, ctx) {
      ctx.progress("looking");
      const same = faults.remembersPlan !== true || known.has(sealed);
      if (!same) throw new Error("not my plan");
      const fresh = faults.runsTwice === true ? [sealed.from, sealed.to] : [sealed.from];
      if (faults.executeIgnoresWorld !== true && !fresh.includes(read())) refuse(`the flag is ${read()}`);
      await sleep(20);
      if (ctx.signal.aborted) throw new NoEffect("aborted", "stopped");
      ctx.progress("setting");
      if (faults.doesNothing !== true) writeFileSync(file, sealed.to);
      if (faults.claimsNoEffect === true) {
        await sleep(100);
        if (ctx.signal.aborted) throw new NoEffect("aborted", "stopped");
      }
      ctx.progress("set");
      const output = faults.wrongOutput === true ? ({ is: 1 } as never) : { was: sealed.from };
      return { output, undo: { to: sealed.to, from: sealed.from } };
    },
    revoke(undo) {
      if (read() !== undo.to) {
        if (faults.revokeOnce === true) throw new Error("nothing to revoke");
        return Promise.resolve();
      }
      writeFileSync(file, faults.revokeHalf === true ? "half" : undo.from);
      return Promise.resolve();
    },
    reconcile(sealed) {
      if (faults.alwaysDone === true) return Promise.resolve("done");
      const now = read();
      return Promise.resolve(now === sealed.to ? "done" : now === sealed.from ? "not_done" : "unknown");
    },
  });
}

function flagWorld(faults: Faults, more: Partial<ToolWorld> = {}): ToolWorld {
  return {
    input: { to: "on" },
    workRoot: join(dir, "work"),
    secrets: [secret],
    refusedInputs: [{ to: "ON" }],
    makeTool: () => Promise.resolve(flagTool(faults)),
    reset: () => Promise.resolve(writeFileSync(file, "off")),
    snapshot: () => Promise.resolve(read()),
    changes: { "someone set it": () => Promise.resolve(writeFileSync(file, "other")) },
    ...more,
  };
}

describeToolContract("an honest small tool", () => ({ world: flagWorld({}), close: () => undefined }), {
  skips: ["T5 killed at any step"],
});

describe("each way of breaking the contract is caught", () => {
  const caught: readonly (readonly [Faults, string])[] = [
    [{ slowTargets: true }, "T1 targets"],
    [{ clockInTargets: true }, "T1 targets"],
    [{ previewWrites: true }, "T2 a preview changes nothing"],
    [{ badView: true }, "T2 what a preview gives"],
    [{ randomGuard: true }, "T3 two previews"],
    [{ blindGuard: true }, "T3 every change"],
    [{ executeIgnoresWorld: true }, "T4 execute refuses"],
    [{ throwsPlainly: true }, "T4 execute refuses"],
    [{ throwsPlainly: true }, "T4 a plan runs once"],
    [{ doesNothing: true }, "T4 execute brings about"],
    [{ wrongOutput: true }, "T4 execute brings about"],
    [{ runsTwice: true }, "T4 a plan runs once"],
    [{ alwaysDone: true }, "T5 reconcile says"],
    [{ revokeHalf: true }, "T6 revoke"],
    [{ revokeOnce: true }, "T6 revoke"],
    [{ planWithDate: true }, "T7 the plan is plain JSON"],
    [{ remembersPlan: true }, "T7 the plan is plain JSON"],
    [{ leaksInView: true }, "T7 no planted secret"],
    [{ leaksInRefusal: true }, "T7 no planted secret"],
    [{ leavesChild: true }, "T5 stopped at any time, a preview"],
    [{ leavesEscapedChild: true }, "T5 stopped at any time, a preview"],
    [{ ignoresAbort: true }, "T5 stopped at any time, a preview"],
    [{ claimsNoEffect: true }, "T5 stopped at any time, an execution"],
  ];
  for (const [faults, check] of caught) {
    test(`${Object.keys(faults).join()} by "${check}…"`, async () => {
      const name = TOOL_CHECKS.find((one) => one.startsWith(check)) as string;
      const result = await runToolCheck(flagWorld(faults), name);
      expect(result.ok).toBe(false);
      expect(result.detail).not.toBe("");
    });
  }

  test("a reconcile that lies after a crash by the crash check", async () => {
    const world = (faults: Faults): ToolWorld =>
      flagWorld(faults, {
        // Dies before the write at line 1, after it at line 2.
        executeAndDie: (_, dieAt) => {
          if (dieAt > 2) return Promise.resolve({ kind: "ended", progressLines: 3 });
          if (dieAt === 2) writeFileSync(file, "on");
          return Promise.resolve({ kind: "killed" });
        },
        reset: () => Promise.resolve(writeFileSync(file, "off")),
      });
    const name = TOOL_CHECKS.find((one) => one.startsWith("T5 killed")) as string;
    const honest = await runToolCheck(world({ runsTwice: true }), name);
    expect(honest).toMatchObject({ ok: true, detail: "not_done not_done done" });
    const liar = await runToolCheck(world({ alwaysDone: true, runsTwice: true }), name);
    expect(liar.ok).toBe(false);
    expect(liar.detail).toContain("reconcile says done");
  });
});

test("all checks run, one after the other, and a world that is no good is a failure and not an exception", async () => {
  const seen: string[] = [];
  const broken = flagWorld({}, { reset: () => Promise.reject(new Error("no target")) });
  for await (const result of checkTool(broken)) {
    expect(result).toMatchObject({ ok: false, detail: "no target" });
    seen.push(result.name);
  }
  expect(seen).toEqual(TOOL_CHECKS);
});
