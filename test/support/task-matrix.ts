import { afterAll, beforeAll, expect, test } from "vitest";
import type { MatrixCell } from "./client-matrix.ts";
import { eventually } from "./eventually.ts";
import type { StartedTask, TaskClient, TaskClientKind } from "./task-clients.ts";

// What a client gets that takes a held call as a task: the same as all others, and never anything twice.

export function taskCases(kind: TaskClientKind, { target, next, asking, alone }: MatrixCell): void {
  let client: TaskClient;
  beforeAll(async () => {
    client = await kind.connect(target()[kind.over]);
  });
  afterAll(async () => {
    await client.close();
  });

  const start = (args: Record<string, unknown>, by = client): Promise<StartedTask> =>
    asking(async () => {
      const before = new Set(await target().held());
      const started = await by.start(target().tool, args);
      started.settled.catch(() => undefined);
      // The handle came after the request was durable (L1): whoever it is shown to can act on it now.
      expect((await target().held()).filter((id) => !before.has(id))).toEqual([started.taskId]);
      return started;
    });

  test("gets the result of a held call once it is approved, and the effect once (G1, G3)", () =>
    alone(async () => {
      const args = next();
      const { taskId, settled } = await start(args);
      expect(await target().effects(args)).toBe(0);
      await target().approve(taskId);
      expect(await settled).toMatchObject({ isError: false, data: { status: "done", requestId: taskId } });
      expect(await target().effects(args)).toBe(1);
    }));

  test("gets the person's words when a held call is denied, and nothing runs (G1)", () =>
    alone(async () => {
      const args = next();
      const { taskId, settled } = await start(args);
      await target().deny(taskId, "not during the release freeze");
      expect(await settled).toMatchObject({
        isError: true,
        text: expect.stringContaining("> not during the release freeze"),
        data: { code: "denied_by_person", class: "denied_final", reason: "not during the release freeze" },
      });
      expect(await target().effects(args)).toBe(0);
    }));

  test("gone and back, it has its task by the id alone, and a call sent again is the same task", () =>
    alone(async () => {
      const args = next();
      const first = await kind.connect(target()[kind.over]);
      const { taskId } = await start(args, first);
      await first.leave();
      const second = await kind.connect(target()[kind.over]);
      try {
        const again = await second.start(target().tool, args);
        again.settled.catch(() => undefined);
        expect(again.taskId).toBe(taskId);
        await target().approve(taskId);
        expect(await again.settled).toMatchObject({ data: { status: "done", requestId: taskId } });
        expect(await client.resume(taskId)).toMatchObject({ data: { status: "done", requestId: taskId } });
      } finally {
        await second.close();
      }
      expect(await target().effects(args)).toBe(1);
    }));

  test("is told that a tool does not exist, in the words that all others get", () =>
    alone(async () => {
      await expect(client.start("deploy_everything", {})).rejects.toThrow(/denied_fixable, unknown_tool/);
    }));

  test("takes its request back by cancelling the task", () =>
    alone(async () => {
      const args = next();
      const { taskId, settled } = await start(args);
      await client.cancel(taskId);
      expect(await settled).toBe("cancelled");
      expect(await target().held()).not.toContain(taskId);
      expect(await target().effects(args)).toBe(0);
    }));

  test.runIf(kind.answersQuestions)("is asked by a person before they decide, and answers", () =>
    alone(async () => {
      const args = next();
      const { taskId, settled } = await start(args);
      await target().ask(taskId, "why today?");
      const answered = await eventually(async () => (await target().answers(taskId))[0] ?? undefined);
      expect(answered).toBe("it is due");
      await target().approve(taskId);
      expect(await settled).toMatchObject({ data: { status: "done" } });
    }),
  );
}
