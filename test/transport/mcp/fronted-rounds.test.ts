import { ProtocolError, type ServerContext } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../src/base/canonical-json.ts";
import type { PublishedTool, Reply } from "../../../src/gate/reply.ts";
import { ROUND_ARGUMENT, splitRound, withRound } from "../../../src/request/round.ts";
import { passedResult } from "../../../src/transport/mcp/fronted.ts";
import {
  answeredArguments,
  asksOf,
  demandNoRound,
  questionsIn,
  roundCallId,
} from "../../../src/transport/mcp/fronted-rounds.ts";
import { createRounds, type RoundCall } from "../../../src/transport/mcp/rounds.ts";

let now = 1_000_000;
const rounds = createRounds(new Uint8Array(32).fill(7), () => now);

const call = (over: Partial<RoundCall> = {}): RoundCall => ({
  caller: { principal: { kind: "named", id: "ana" }, agent: "desktop", transport: "http", client: null },
  tool: "files__read",
  arguments: { path: "/a" },
  ...over,
});

const tool = (
  readOnlyHint: boolean,
  upstream: PublishedTool["upstream"] = { definition: {} },
): PublishedTool => ({
  name: "files__read",
  title: "",
  description: "",
  inputSchema: {},
  outputSchema: {},
  annotations: { title: "", readOnlyHint, destructiveHint: false, idempotentHint: true, openWorldHint: true },
  ...(upstream === undefined ? {} : { upstream }),
});

const ctx = (parts: {
  readonly state?: unknown;
  readonly answers?: Record<string, unknown>;
  readonly capabilities?: unknown;
}): ServerContext =>
  ({
    mcpReq: {
      requestState: () => parts.state,
      inputResponses: parts.answers,
      envelope: { "io.modelcontextprotocol/clientCapabilities": parts.capabilities },
    },
  }) as unknown as ServerContext;

const asked = (result: object): Reply => ({
  status: "done",
  request: "req_1",
  summary: "read",
  output: {
    typ: "countersign.upstream",
    v: 1,
    result: { resultType: "input_required", ...result },
  } as JsonObject,
});
const form = { method: "elicitation/create", params: { message: "which?" } };
const answers = { which: { action: "accept", content: { x: 1 } } };

const refusal = (work: () => unknown): ProtocolError => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return error as ProtocolError;
  }
  throw new Error("nothing was refused");
};

describe("a fronted server's questions", () => {
  test("go out as they came, with its state sealed", () => {
    const result = questionsIn(
      asked({ inputRequests: { which: form }, requestState: "s1" }),
      rounds,
      call(),
      {
        elicitation: {},
      },
    );
    expect(result).toMatchObject({ resultType: "input_required", inputRequests: { which: form } });
    const state = String(result?.["requestState"]);
    expect(state).not.toContain("s1");
    expect(rounds.openOf(call(), state)).toBe("s1");
  });

  test.each([
    [form, "elicitation"],
    [{ method: "sampling/createMessage", params: {} }, "sampling"],
    [{ method: "roots/list", params: {} }, "roots"],
  ])("are not put to a client that does not declare that it takes them: %j", (question, capability) => {
    const error = refusal(() => questionsIn(asked({ inputRequests: { q: question } }), rounds, call(), {}));
    expect(error).toMatchObject({ code: -32021, data: { requiredCapabilities: { [capability]: {} } } });
  });

  test("of a kind that is not known go to nobody", () => {
    for (const method of ["countersign/approve", "toString", "__proto__"]) {
      const reply = asked({ inputRequests: { q: { method, params: {} } } });
      expect(refusal(() => questionsIn(reply, rounds, call(), { elicitation: {} })).code).toBe(-32603);
    }
  });

  test("that a client can't be asked are an error that says so, not an empty answer", () => {
    expect(passedResult(asked({ inputRequests: { which: form } }))).toMatchObject({ isError: true });
  });

  test("a lack is the client's own only where it lacks it", () => {
    const reply: Reply = {
      ...asked({}),
      output: {
        typ: "countersign.upstream",
        v: 1,
        error: { code: -32021, message: "no", data: { requiredCapabilities: { sampling: {} } } },
      },
    } as Reply;
    expect(refusal(() => questionsIn(reply, rounds, call(), {})).code).toBe(-32021);
    expect(questionsIn(reply, rounds, call(), { sampling: {} })).toBeNull();
  });

  test("a client that declares the extension a server needs is not told that it lacks it", () => {
    const requiredCapabilities = { extensions: { "io.modelcontextprotocol/tasks": {} } };
    const error = { code: -32021, message: "no", data: { requiredCapabilities } };
    const reply = { ...asked({}), output: { typ: "countersign.upstream", v: 1, error } } as Reply;
    expect(questionsIn(reply, rounds, call(), requiredCapabilities)).toBeNull();
    expect(refusal(() => questionsIn(reply, rounds, call(), { extensions: {} })).code).toBe(-32021);
  });

  test("what the client can be asked is what it declares, and nothing else of it", () => {
    const capabilities = {
      elicitation: { form: {} },
      sampling: 1,
      extensions: { "x/y": {} },
      experimental: {},
    };
    expect(asksOf(ctx({ capabilities }))).toEqual({ elicitation: { form: {} } });
    expect(asksOf(ctx({}))).toEqual({});
  });
});

describe("the answers", () => {
  const state = rounds.sealOf(call(), "s1");

  test("become a part of what is asked for, and the server gets them apart from its arguments (D3)", () => {
    const args = answeredArguments(rounds, call(), tool(true), ctx({ state, answers })) as JsonObject;
    expect(args).toEqual({ path: "/a", [ROUND_ARGUMENT]: { answers, state: "s1" } });
    expect(splitRound(args)).toEqual({ args: { path: "/a" }, round: { answers, state: "s1" } });
    expect(answeredArguments(rounds, call(), tool(true), ctx({ answers }))).toEqual({
      path: "/a",
      [ROUND_ARGUMENT]: { answers },
    });
  });

  test.each<[string, Partial<RoundCall>]>([
    ["another tool", { tool: "files__other" }],
    ["other arguments", { arguments: { path: "/b" } }],
    ["another person", { caller: { ...call().caller, principal: { kind: "named", id: "ben" } } }],
    ["another agent", { caller: { ...call().caller, agent: "ci" } }],
  ])("of a state that was sealed for %s are refused (N1)", (_, over) => {
    const error = refusal(() => answeredArguments(rounds, call(over), tool(true), ctx({ state, answers })));
    expect(error.code).toBe(-32602);
  });

  test("of a state that was changed, of a hold, or an hour old, are refused (N1)", () => {
    const held = rounds.seal(call(), { ticket: "req_1", round: 1 });
    for (const wrong of [`${state}A`, state.slice(0, -2), `cu1.${held.slice(4)}`, "cu1.", "cu1.AAAA"]) {
      const error = refusal(() =>
        answeredArguments(rounds, call(), tool(true), ctx({ state: wrong, answers })),
      );
      expect(error.code).toBe(-32602);
    }
    expect(rounds.open(call(), state)).toBeNull();
    expect(rounds.open(call(), `cs1.${state.slice(4)}`)).toBeNull();
    now += 3_600_001;
    expect(refusal(() => answeredArguments(rounds, call(), tool(true), ctx({ state, answers }))).code).toBe(
      -32602,
    );
    now -= 3_600_001;
  });

  test("never reach a tool that changes something, or one of our own (P1)", () => {
    const { upstream: _, ...own } = tool(true);
    for (const other of [own, undefined]) {
      expect(answeredArguments(rounds, call(), other, ctx({ answers }))).toEqual({ path: "/a" });
    }
    expect(answeredArguments(rounds, call(), tool(false), ctx({ answers }))).toEqual({ path: "/a" });
  });

  test("with a state never make a call of what can't be asked: it is refused, and nothing runs (N1)", () => {
    const { upstream: _, ...own } = tool(true);
    for (const other of [own, tool(false), undefined]) {
      expect(refusal(() => answeredArguments(rounds, call(), other, ctx({ state, answers }))).code).toBe(
        -32602,
      );
    }
  });

  test("have an id of their own beside the host's, which stays the same over rounds (R2)", () => {
    const args = withRound({ path: "/a" }, { answers, state: "s1" });
    expect(roundCallId("toolu_1", { path: "/a" })).toBe("toolu_1");
    expect(roundCallId(undefined, args)).toBeUndefined();
    const id = roundCallId("toolu_1", args);
    expect(id).toMatch(/^toolu_1 round /);
    expect(roundCallId("toolu_1", withRound({ path: "/a" }, { answers, state: "s1" }))).toBe(id);
    expect(roundCallId("toolu_1", withRound({ path: "/a" }, { answers: {}, state: "s1" }))).not.toBe(id);
  });

  test("can't be written by hand, around the seal (N1)", () => {
    const args = withRound({ path: "/a" }, { answers: {}, state: "raw" });
    expect(refusal(() => demandNoRound(args)).code).toBe(-32602);
    expect(() => demandNoRound({ path: "/a" })).not.toThrow();
  });

  test.each([
    { [ROUND_ARGUMENT]: 1 },
    { [ROUND_ARGUMENT]: { answers: [] } },
    { [ROUND_ARGUMENT]: { answers: {}, state: 1 } },
    { [ROUND_ARGUMENT]: { answers: {}, more: 1 } },
  ])("that are none stay the argument that they are: %j", (args) => {
    expect(splitRound(args as JsonObject)).toEqual({ args, round: null });
  });
});
