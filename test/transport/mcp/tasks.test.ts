import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { Caller } from "../../../src/request/principal.ts";
import { serveStdio } from "../../../src/transport/mcp/stdio.ts";
import { createRawPipe, type RawPipe } from "../../support/raw-stdio.ts";
import { legacyInitialize, legacyRequest, modernRequest, notification } from "../../support/rpc.ts";
import { createScriptedGate, type ScriptedGate } from "../../support/scripted-gate.ts";

// A request as a task, on the wire, in both protocol eras. Can a client get a handle before its request exists, see or
// move someone else's, learn more than it should, or be left without the words of a refusal?

type Fields = Record<string, unknown>;
const log = pino({ level: "silent" });
const ANA: Caller = {
  principal: { kind: "named", id: "ana" },
  agent: "desktop",
  transport: "stdio",
  client: null,
};
const TASKS = "io.modelcontextprotocol/tasks";
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const declaring = (more: object = {}): { _meta: object } => ({
  _meta: { [CAPABILITIES]: { extensions: { [TASKS]: {} }, ...more } },
});

interface Side {
  readonly pipe: RawPipe;
  readonly done: Promise<void>;
  ask(method: string, params?: object): Promise<Fields>;
}
const sides: Side[] = [];
function connect(gate: ScriptedGate, caller: Caller = ANA): Side {
  const pipe = createRawPipe();
  const done = serveStdio(gate, caller, {
    holdMs: 30_000,
    version: "0.0.0",
    log,
    stdin: pipe.stdin,
    stdout: pipe.stdout,
  });
  let id = 0;
  const side = {
    pipe,
    done,
    async ask(method: string, params: object = {}) {
      pipe.send(modernRequest((id += 1), method, params as Fields));
      return pipe.receive(20_000);
    },
  };
  sides.push(side);
  return side;
}
const connectLegacy = async (gate: ScriptedGate): Promise<Side & { capabilities: unknown }> => {
  const side = connect(gate);
  side.pipe.send(legacyInitialize(0));
  const opened = (await side.pipe.receive()) as { result: { capabilities: unknown } };
  side.pipe.send(notification("notifications/initialized"));
  let id = 0;
  return {
    ...side,
    capabilities: opened.result.capabilities,
    async ask(method, params = {}) {
      side.pipe.send(legacyRequest((id += 1), method, params));
      return side.pipe.receive(20_000);
    },
  };
};
afterEach(async () => {
  for (const { pipe, done } of sides.splice(0)) {
    pipe.end();
    await done;
  }
});

const deploy = (ref: string): { name: string; arguments: object } => ({
  name: "deploy_service",
  arguments: { service: "web", ref, justification: "because" },
});
const resultOf = (answer: Fields): Fields => answer["result"] as Fields;
const errorOf = (answer: Fields): { code: number; message: string; data?: unknown } =>
  answer["error"] as { code: number; message: string };
const createTask = async (side: Side, ref: string, more: object = {}): Promise<string> =>
  String(resultOf(await side.ask("tools/call", { ...deploy(ref), ...declaring(more) }))["taskId"]);
const get = async (side: Side, taskId: string, more: object = {}): Promise<Fields> =>
  resultOf(await side.ask("tasks/get", { taskId, ...declaring(more) }));

describe("a client of 2026-07-28 that declares tasks", () => {
  test("is told that there are some, and of no older kind", async () => {
    const side = connect(createScriptedGate());
    expect(resultOf(await side.ask("server/discover"))["capabilities"]).toEqual({
      tools: { listChanged: true },
      extensions: { [TASKS]: {} },
    });
  });

  test("gets a handle at once for a held call, and it is a seed: no result, no question, no state", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const created = resultOf(await side.ask("tools/call", { ...deploy("v1"), ...declaring() }));
    const { _meta: _, ...task } = created;
    expect(task).toEqual({
      resultType: "task",
      taskId: gate.held()[0],
      status: "working",
      statusMessage: "waiting for 1 of 1 approvals; request code 7QK2MD",
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      lastUpdatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      ttlMs: null,
      pollIntervalMs: 2_000,
    });
  });

  test("reads the whole result in the completed task once people approved", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    expect(await get(side, taskId)).toMatchObject({ resultType: "complete", taskId, status: "working" });
    await gate.approve(taskId);
    const task = await get(side, taskId);
    expect(task).toMatchObject({
      resultType: "complete",
      status: "completed",
      result: {
        resultType: "complete",
        isError: false,
        structuredContent: { status: "done", requestId: taskId },
      },
    });
    expect(task).not.toHaveProperty("error");
  });

  test.each(["deny", "expire"] as const)("reads why in a completed task where people %s", async (how) => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    if (how === "deny") gate.deny(taskId, "not today");
    else gate.expire(taskId);
    const { status, result } = (await get(side, taskId)) as { status: string; result: Fields };
    expect(status).toBe("completed");
    expect(result).toMatchObject({
      isError: true,
      structuredContent:
        how === "deny"
          ? { code: "denied_by_person", class: "denied_final", reason: "not today" }
          : { code: "expired", class: "expired" },
    });
    expect(JSON.stringify(result)).toContain(how === "deny" ? "> not today" : "call again");
  });

  test("reads a failure and an unknown outcome as a completed task with an error", async () => {
    for (const name of ["Error", "Unknown"]) {
      const gate = createScriptedGate({
        deploy: () => {
          throw Object.assign(new Error("the backend said no"), { name });
        },
      });
      const side = connect(gate);
      const taskId = await createTask(side, "v1");
      await gate.approve(taskId);
      expect(await get(side, taskId)).toMatchObject({
        status: "completed",
        result: { isError: true, structuredContent: { status: name === "Error" ? "failed" : "unknown" } },
      });
    }
  });

  test("reads a fronted server's error of the protocol as the error of a failed task (SEP-2663)", async () => {
    const error = { code: -32603, message: "it broke", data: { at: 1 } };
    const gate = createScriptedGate({ deploy: () => ({ typ: "countersign.upstream", v: 1, error }) });
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    await gate.approve(taskId);
    const task = await get(side, taskId);
    expect(task).toMatchObject({ status: "failed", error });
    expect(task["error"]).toEqual(error);
    expect(task["statusMessage"]).toBe("the server was called and answered with an error: it broke");
    expect(task).not.toHaveProperty("result");
  });

  test.each([-32042, -32021, -31001])(
    "is told, as a result, of a code that is about our exchange with the server or would make it act: %i",
    async (code) => {
      const error = { code, message: "open https://evil.example" };
      const gate = createScriptedGate({ deploy: () => ({ typ: "countersign.upstream", v: 1, error }) });
      const side = connect(gate);
      const taskId = await createTask(side, "v1");
      await gate.approve(taskId);
      const task = await get(side, taskId);
      expect(task).toMatchObject({ status: "completed", result: { isError: true } });
      expect(task).not.toHaveProperty("error");
    },
  );

  test("gets the same handle for a call that it sends again", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    expect(await createTask(side, "v1")).toBe(taskId);
    expect(gate.held()).toEqual([taskId]);
  });

  test("takes its request back with tasks/cancel, as often as it likes", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    for (const _ of [1, 2]) {
      const { _meta, ...ack } = resultOf(await side.ask("tasks/cancel", { taskId, ...declaring() }));
      expect(ack).toEqual({ resultType: "complete" });
    }
    const task = await get(side, taskId);
    expect(task).toMatchObject({ status: "cancelled" });
    expect(task).not.toHaveProperty("result");
    expect(gate.held()).toEqual([]);
  });

  test("loses nothing by going away: that detaches", async () => {
    const gate = createScriptedGate();
    const first = connect(gate);
    const taskId = await createTask(first, "v1");
    first.pipe.end();
    await first.done;
    expect(gate.held()).toEqual([taskId]);
    await gate.approve(taskId);
    expect(await get(connect(gate), taskId)).toMatchObject({ status: "completed" });
  });

  test("gets what is done at once as it always did, reads among it", async () => {
    const side = connect(createScriptedGate());
    const read = { name: "read_service", arguments: { service: "web" } };
    const result = resultOf(await side.ask("tools/call", { ...read, ...declaring() }));
    expect(result).toMatchObject({ resultType: "complete", structuredContent: { status: "done" } });
    expect(result).not.toHaveProperty("taskId");
  });

  test("gets a refusal that never became a request as a result", async () => {
    const side = connect(createScriptedGate());
    const result = resultOf(await side.ask("tools/call", { name: "nothing", ...declaring() }));
    expect(result).toMatchObject({ isError: true, structuredContent: { code: "unknown_tool" } });
  });

  test("gets no task from the tools that act on a ticket", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    const withdrawn = await side.ask("tools/call", {
      name: "countersign_withdraw",
      arguments: { ticket: taskId },
      ...declaring(),
    });
    expect(resultOf(withdrawn)).toMatchObject({ resultType: "complete", isError: false });
  });
});

describe("a person's question in a task", () => {
  test("is a form where the client shows forms; the answer is taken once and the task goes on", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1", { elicitation: {} });
    const inquiry = gate.ask(taskId, "why today?\u202e\u001b[31m [link](https://x)");
    const task = await get(side, taskId, { elicitation: {} });
    expect(task).toMatchObject({ status: "input_required" });
    const requests = task["inputRequests"] as Record<string, { method: string; params: Fields }>;
    expect(requests[inquiry]).toMatchObject({
      method: "elicitation/create",
      params: {
        mode: "form",
        requestedSchema: { properties: { answer: { type: "string" } }, required: ["answer"] },
      },
    });
    const message = String(requests[inquiry]?.params["message"]);
    expect(message).toContain("why today?");
    expect(message).not.toMatch(/[\u202e\u001b]/u);
    const inputResponses = {
      [inquiry]: { action: "accept", content: { answer: "it is due" } },
      other: { action: "accept", content: { answer: "nobody asked" } },
    };
    const { _meta, ...ack } = resultOf(
      await side.ask("tasks/update", { taskId, inputResponses, ...declaring() }),
    );
    expect(ack).toEqual({ resultType: "complete" });
    expect(gate.answers(taskId)).toEqual(["it is due"]);
    expect(await get(side, taskId, { elicitation: {} })).toMatchObject({ status: "working" });
    // Sent again, it is answered as before.
    expect(
      errorOf(await side.ask("tasks/update", { taskId, inputResponses, ...declaring() })),
    ).toBeUndefined();
  });

  test.each([{}, { elicitation: { url: {} } }])(
    "stands in the status line where it shows none (%j)",
    async (more) => {
      const gate = createScriptedGate();
      const side = connect(gate);
      const taskId = await createTask(side, "v1", more);
      gate.ask(taskId, "why today?");
      const task = await get(side, taskId, more);
      expect(task).toMatchObject({
        status: "working",
        statusMessage: expect.stringContaining("why today?"),
      });
      expect(task).not.toHaveProperty("inputRequests");
    },
  );

  test("that is declined is answered with that, so that nobody is asked for ever", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    const inquiry = gate.ask(taskId, "why today?");
    await side.ask("tasks/update", {
      taskId,
      inputResponses: { [inquiry]: { action: "decline" } },
      ...declaring(),
    });
    expect(gate.answers(taskId)).toEqual(["(not answered: the agent's side declined)"]);
  });

  test("takes a form that was filled in otherwise than asked as what it is: words of the agent's side", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    const inquiry = gate.ask(taskId, "why today?");
    const inputResponses = { [inquiry]: { action: "accept", content: { confirm: true } } };
    const answer = await side.ask("tasks/update", { taskId, inputResponses, ...declaring() });
    expect(errorOf(answer)).toBeUndefined();
    expect(gate.answers(taskId)).toEqual(['{"confirm":true}']);
  });

  test("takes no answer that is none, and says which", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    const inquiry = gate.ask(taskId, "why today?");
    for (const response of [
      { action: "accept" },
      { action: "accept", content: { answer: 7 } },
      { action: "approve", content: { answer: "x" } },
    ]) {
      const answer = await side.ask("tasks/update", {
        taskId,
        inputResponses: { [inquiry]: response },
        ...declaring(),
      });
      expect(errorOf(answer)).toMatchObject({ code: -32602, message: expect.stringContaining(inquiry) });
    }
    expect(gate.answers(taskId)).toEqual([null]);
  });
});

describe("tasks are nobody else's (T1, R1)", () => {
  test("a client that does not declare them cannot use them, and gets none", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const taskId = await createTask(side, "v1");
    for (const method of ["tasks/get", "tasks/update", "tasks/cancel"]) {
      expect(errorOf(await side.ask(method, { taskId, inputResponses: {} }))).toMatchObject({
        code: -32021,
        data: { requiredCapabilities: { extensions: { [TASKS]: {} } } },
      });
    }
    expect(gate.held()).toEqual([taskId]);
  });

  test("no principal and no agent but its own sees, answers or cancels a task", async () => {
    const gate = createScriptedGate();
    const taskId = await createTask(connect(gate), "v1");
    const inquiry = gate.ask(taskId, "why?");
    const others: Caller[] = [
      { ...ANA, principal: { kind: "named", id: "ben" } },
      { ...ANA, principal: { kind: "os", account: "ana" } },
      { ...ANA, agent: "other" },
      { ...ANA, agent: null },
    ];
    for (const other of others) {
      const side = connect(gate, other);
      for (const method of ["tasks/get", "tasks/cancel", "tasks/update"]) {
        const foreign = await side.ask(method, {
          taskId,
          inputResponses: { [inquiry]: { action: "accept", content: { answer: "x" } } },
          ...declaring(),
        });
        const none = await side.ask(method, { taskId: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV", ...declaring() });
        expect(errorOf(foreign)).toMatchObject({ code: -32602 });
        // Someone else's task and none at all are told apart by nothing.
        expect(errorOf(foreign)).toEqual(errorOf(none));
      }
    }
    expect(gate.held()).toEqual([taskId]);
    expect(gate.answers(taskId)).toEqual([null]);
  });

  test("what is no id is an error and nothing more", async () => {
    const side = connect(createScriptedGate());
    for (const taskId of ["", "../x", "x".repeat(100_000), 7, null, undefined, { a: 1 }]) {
      expect(errorOf(await side.ask("tasks/get", { taskId, ...declaring() }))).toMatchObject({
        code: -32602,
      });
    }
    for (const method of ["tasks/list", "tasks/result"]) {
      expect(errorOf(await side.ask(method, { taskId: "x", ...declaring() }))).toMatchObject({
        code: -32601,
      });
    }
  });
});

describe("a client of 2025-11-25", () => {
  const asTask = (ref: string): object => ({ ...deploy(ref), task: { ttl: 60_000 } });

  test("is told that calls may be tasks, and where", async () => {
    const side = await connectLegacy(createScriptedGate());
    expect(side.capabilities).toEqual({
      tools: { listChanged: true },
      tasks: { cancel: {}, requests: { tools: { call: {} } } },
    });
    const { tools } = resultOf(await side.ask("tools/list")) as {
      tools: { name: string; execution?: unknown }[];
    };
    for (const { name, execution } of tools)
      expect(execution).toEqual(name.startsWith("countersign_") ? undefined : { taskSupport: "optional" });
  });

  test("gets a task where it asks for one, and its result from tasks/result", async () => {
    const gate = createScriptedGate();
    const side = await connectLegacy(gate);
    const created = resultOf(await side.ask("tools/call", asTask("v1")));
    expect(Object.keys(created)).toEqual(["task"]);
    const taskId = String(gate.held()[0]);
    expect(created["task"]).toMatchObject({ taskId, status: "working", ttl: null, pollInterval: 2_000 });
    const result = side.ask("tasks/result", { taskId });
    await gate.attached(taskId, 1);
    await gate.approve(taskId);
    expect(resultOf(await result)).toMatchObject({
      isError: false,
      structuredContent: { status: "done", requestId: taskId },
      _meta: { "io.modelcontextprotocol/related-task": { taskId } },
    });
    expect(resultOf(await side.ask("tasks/get", { taskId }))).toMatchObject({ status: "completed" });
  });

  test("gets a task even for what is done at once, because it asked", async () => {
    const gate = createScriptedGate();
    const side = await connectLegacy(gate);
    const { task } = resultOf(
      await side.ask("tools/call", { name: "read_service", arguments: { service: "web" }, task: {} }),
    ) as { task: Fields };
    expect(task).toMatchObject({ status: "completed", statusMessage: "web runs main" });
  });

  test("keeps the words of a refusal: a denied task is completed, and its result the refusal", async () => {
    const gate = createScriptedGate();
    const side = await connectLegacy(gate);
    await side.ask("tools/call", asTask("v1"));
    const taskId = String(gate.held()[0]);
    gate.deny(taskId, "not today");
    expect(resultOf(await side.ask("tasks/get", { taskId }))).toMatchObject({ status: "completed" });
    expect(resultOf(await side.ask("tasks/result", { taskId }))).toMatchObject({
      isError: true,
      structuredContent: { code: "denied_by_person", reason: "not today" },
    });
  });

  test("cancels until it runs or has ended, and is told so after that", async () => {
    const gate = createScriptedGate();
    const side = await connectLegacy(gate);
    await side.ask("tools/call", asTask("v1"));
    const taskId = String(gate.held()[0]);
    expect(resultOf(await side.ask("tasks/cancel", { taskId }))).toMatchObject({ status: "cancelled" });
    expect(errorOf(await side.ask("tasks/cancel", { taskId }))).toMatchObject({ code: -32602 });
  });

  test("gets an error that says everything where its call never became a request", async () => {
    const side = await connectLegacy(createScriptedGate());
    const answer = await side.ask("tools/call", { name: "nothing", task: {} });
    expect(errorOf(answer)).toMatchObject({
      code: -32602,
      message: expect.stringContaining("unknown_tool"),
      data: { code: "unknown_tool", class: "denied_fixable" },
    });
  });

  test("has no list of tasks, no task of ours, and none of anybody else's", async () => {
    const gate = createScriptedGate();
    const side = await connectLegacy(gate);
    expect(errorOf(await side.ask("tasks/list"))).toMatchObject({ code: -32601 });
    expect(
      errorOf(
        await side.ask("tools/call", { name: "countersign_wait", arguments: { ticket: "x" }, task: {} }),
      ),
    ).toMatchObject({ code: -32601 });
    const theirs = await createTask(connect(gate, { ...ANA, agent: "other" }), "v1");
    for (const method of ["tasks/get", "tasks/result", "tasks/cancel"]) {
      expect(errorOf(await side.ask(method, { taskId: theirs }))).toMatchObject({ code: -32602 });
      expect(errorOf(await side.ask(method, { taskId: 7 }))).toMatchObject({ code: -32602 });
    }
  });
});

test.each(["modern", "legacy"] as const)(
  "what breaks inside the gateway stays in the operator's log (P4, %s)",
  async (era) => {
    const gate = createScriptedGate();
    const broken = (): never => {
      throw new Error("cannot read /secret/path");
    };
    const breaking = { ...gate, wait: broken, withdraw: broken };
    const side = era === "modern" ? connect(breaking) : await connectLegacy(breaking);
    for (const method of ["tasks/get", "tasks/cancel"]) {
      const answer = await side.ask(method, {
        taskId: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ...(era === "modern" ? declaring() : {}),
      });
      expect(errorOf(answer)).toMatchObject({ code: -32603 });
      expect(JSON.stringify(answer)).not.toContain("secret");
    }
  },
);
