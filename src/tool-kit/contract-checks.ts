import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { canonicalCopy, canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { PREVIEW_CAPS } from "../preview/preview.ts";
import { toolViewSchema } from "../preview/view.ts";
import { NoEffect, ToolRefusal, type Tool } from "../tool.ts";
import { openSession } from "./session.ts";
import type { ToolWorld } from "./world.ts";

/** One check: throws with what is wrong, or gives a remark. */
export interface Check {
  readonly name: string;
  run(world: ToolWorld): Promise<string | undefined>;
}

/** Thrown by a check that can't be made here. */
export class Skip extends Error {}

export const exactly = (world: ToolWorld): Promise<string> => world.snapshotExactly?.() ?? world.snapshot();

export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** The error of a promise that has to fail. */
export async function failure(work: Promise<unknown>, what: string): Promise<unknown> {
  let value: unknown;
  try {
    value = await work;
  } catch (error) {
    return error;
  }
  throw new Error(`${what} succeeded: ${JSON.stringify(value)?.slice(0, 200) ?? "no value"}`);
}

/** A read relies on nothing and changes nothing: what it tells is what is, each time. */
function skipRead(tool: Tool, world: ToolWorld): void {
  if (tool.effect(canonicalCopy(world.input)) === "read") throw new Skip("the tool only reads");
}

export const contractChecks: readonly Check[] = [
  {
    name: "T1 targets, effect and registration answer at once, the same twice, and leave the input alone",
    async run(world) {
      const tool = await world.makeTool();
      const input = deepFreeze(canonicalCopy(world.input));
      const answer = (): string => {
        const targets: unknown = tool.targets(input);
        const registration: unknown = tool.registration(input);
        demand(!(targets instanceof Promise) && !(registration instanceof Promise), "a promise came");
        return canonicalJson({ targets, registration, effect: tool.effect(input) });
      };
      demand(answer() === answer(), "two answers differ");
      const { targets } = JSON.parse(answer()) as { targets: JsonObject[] };
      demand(targets.length > 0, "no target was named");
      for (const target of targets) {
        for (const key of ["kind", "id", "environment"]) {
          demand(typeof target[key] === "string" && target[key] !== "", `a target without ${key}`);
        }
      }
      return undefined;
    },
  },
  {
    name: "T1 arguments that the schema does not know are refused, and refused arguments reach nothing",
    async run(world) {
      const tool = await world.makeTool();
      demand(tool.parseInput(world.input).ok, "the world's own input is refused");
      const before = await exactly(world);
      const made: unknown[] = [
        { ...world.input, countersign_kit: 1 },
        null,
        [],
        "text",
        1,
        ...(world.refusedInputs ?? []),
      ];
      for (const input of made) {
        demand(
          !tool.parseInput(input).ok,
          `accepted: ${JSON.stringify(input)?.slice(0, 200) ?? String(input)}`,
        );
      }
      demand((await exactly(world)) === before, "the target changed");
      return undefined;
    },
  },
  {
    name: "T2 a preview changes nothing",
    async run(world) {
      const before = await exactly(world);
      await (await openSession(world)).preview();
      demand((await exactly(world)) === before, "the target changed");
      return undefined;
    },
  },
  {
    name: "T2 what a preview gives is within the gate's schema and caps",
    async run(world) {
      const preview = await (await openSession(world)).preview();
      toolViewSchema.parse(JSON.parse(canonicalJson(preview.view)));
      demand(
        Buffer.byteLength(canonicalJson(preview.plan)) <= PREVIEW_CAPS.planBytes,
        "the plan is too large",
      );
      demand(
        preview.guard !== "" && preview.guard.length <= PREVIEW_CAPS.guardLength,
        "a guard that is none",
      );
      demand(preview.expiresAt === null || preview.expiresAt > Date.now(), "it has expired already");
      return preview.view.complete ? undefined : "the view says of itself that it is not complete";
    },
  },
  {
    name: "T3 two previews of a still world give the same guard, and the plan's own guard is that",
    async run(world) {
      const [first, second] = [await openSession(world), await openSession(world)];
      const preview = await first.preview();
      demand(preview.guard === (await second.preview()).guard, "two previews, two guards");
      demand(
        preview.guard === (await second.guard(preview.plan)),
        "guard(plan) is another than the preview's",
      );
      demand(preview.guard === (await second.guard(preview.plan)), "guard(plan) is another the second time");
      return undefined;
    },
  },
  {
    name: "T3 every change of the world that the plan relies on alters the guard",
    async run(world) {
      const names = Object.keys(world.changes);
      demand(names.length > 0, "the world names no change");
      skipRead(await world.makeTool(), world);
      for (const name of names) {
        await world.reset();
        const session = await openSession(world);
        const preview = await session.preview();
        await world.changes[name]?.();
        demand((await guardOrRefusal(session.guard(preview.plan))) !== preview.guard, `not noticed: ${name}`);
      }
      return names.join(", ");
    },
  },
  {
    name: "T4 execute refuses a world other than the plan's, without any effect",
    async run(world) {
      skipRead(await world.makeTool(), world);
      for (const [name, change] of Object.entries(world.changes)) {
        await world.reset();
        const session = await openSession(world);
        const preview = await session.preview();
        await change();
        const before = await exactly(world);
        const error = await failure(session.execute(preview), `execute after "${name}"`);
        demand(
          error instanceof NoEffect,
          `after "${name}" it threw ${String(error)} instead of NoEffect (T5)`,
        );
        demand((await exactly(world)) === before, `after "${name}" the target changed`);
      }
      return undefined;
    },
  },
  {
    name: "T4 execute brings about the change, and its output matches the published schema",
    async run(world) {
      const before = await world.snapshot();
      const session = await openSession(world);
      const { output } = await session.execute(await session.preview());
      const isRead = session.tool.effect(canonicalCopy(world.input)) === "read";
      const same = (await world.snapshot()) === before;
      demand(same === isRead, isRead ? "a read changed the target" : "the target is as it was");
      const schema = z.fromJSONSchema(session.tool.outputSchema as Parameters<typeof z.fromJSONSchema>[0]);
      const parsed = schema.safeParse(output);
      demand(parsed.success, `the output does not match: ${parsed.error?.message ?? ""}`);
      return undefined;
    },
  },
  {
    name: "T4 a plan runs once: the second time is refused without any effect",
    async run(world) {
      const session = await openSession(world);
      skipRead(session.tool, world);
      const preview = await session.preview();
      await session.execute(preview);
      const after = await exactly(world);
      const error = await failure(session.execute(preview), "the second execute");
      demand(error instanceof NoEffect, `it threw ${String(error)} instead of NoEffect (T5)`);
      demand((await exactly(world)) === after, "the target changed");
      return undefined;
    },
  },
  {
    name: "T5 reconcile says not_done before, done after, and not_done after a refused execution",
    async run(world) {
      const session = await openSession(world);
      if (!session.tool.canReconcile) throw new Skip("the tool cannot reconcile: lost answers stay unknown");
      const preview = await session.preview();
      demand((await session.reconcile(preview)) === "not_done", "not not_done before");
      await session.execute(preview);
      const after = await exactly(world);
      demand((await session.reconcile(preview)) === "done", "not done after");
      demand((await exactly(world)) === after, "reconcile changed the target");
      return undefined;
    },
  },
  {
    name: "T6 revoke undoes the change, succeeds twice, and succeeds where there is nothing to revoke",
    async run(world) {
      const session = await openSession(world);
      if (!session.tool.canRevoke) throw new Skip("the tool cannot revoke");
      const before = await world.snapshot();
      const { undo } = await session.execute(await session.preview());
      demand(undo !== null, "execute gave nothing to undo with");
      const again = await openSession(world);
      await again.revoke(undo);
      demand((await world.snapshot()) === before, "the target is not as it was before");
      await again.revoke(undo);
      demand((await world.snapshot()) === before, "the second revoke changed the target");
      return undefined;
    },
  },
  {
    name: "T7 the plan is plain JSON and means the same after a round trip",
    async run(world) {
      const session = await openSession(world);
      const preview = await session.preview();
      const copy = JSON.parse(canonicalJson(preview.plan)) as Json;
      demand(
        isDeepStrictEqual(copy, JSON.parse(JSON.stringify(preview.plan))),
        "something is lost on the way",
      );
      const restarted = await openSession(world);
      demand((await restarted.guard(copy)) === preview.guard, "another guard after a restart");
      await restarted.execute({ ...preview, plan: copy });
      return undefined;
    },
  },
  {
    name: "T7 no planted secret stands in plan, view, files, guard, output, undo or refusal",
    async run(world) {
      const secrets = world.secrets ?? [];
      if (secrets.length === 0) throw new Skip("the world plants no secret");
      const session = await openSession(world);
      const said: string[] = [];
      const preview = await session.preview();
      said.push(JSON.stringify([preview.plan, preview.view, preview.guard, preview.lease ?? null]));
      for (const file of preview.files ?? []) said.push(Buffer.from(file.bytes).toString("latin1"));
      const { output, undo } = await session.execute(preview);
      said.push(JSON.stringify([output, undo]));
      const second = await session.execute(preview).catch((error: unknown) => error);
      said.push(second instanceof Error ? second.message : JSON.stringify(second));
      demand(
        !secrets.some((secret) => said.some((text) => text.includes(secret))),
        "a secret was given away",
      );
      return undefined;
    },
  },
];

/** A guard that can't be computed because the world is another one counts as altered. */
async function guardOrRefusal(work: Promise<string>): Promise<string> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ToolRefusal) return `refused: ${error.code}`;
    throw error;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
}
