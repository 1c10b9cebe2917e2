import { randomBytes } from "node:crypto";
import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { Gate } from "../../../src/gate/reply.ts";
import type { Caller } from "../../../src/request/principal.ts";
import { createRounds } from "../../../src/transport/mcp/rounds.ts";
import { serveStdio } from "../../../src/transport/mcp/stdio.ts";
import { createRawPipe, type RawPipe } from "../../support/raw-stdio.ts";
import { legacyInitialize, legacyRequest, modernRequest, notification } from "../../support/rpc.ts";
import { createScriptedGate, type ScriptedGate } from "../../support/scripted-gate.ts";

// A held call in rounds. `requestState` comes back from a hostile client: can it make anything run, wait on a request
// that is not its own, be moved to another call, or go on for ever? And does the client get the same words in the end?

type Fields = Record<string, unknown>;
const log = pino({ level: "silent" });
const ANA: Caller = {
  principal: { kind: "named", id: "ana" },
  agent: "desktop",
  transport: "stdio",
  client: null,
};
const key = randomBytes(32);
const PAGE = "https://gate.example.com/requests/";

interface Side {
  readonly pipe: RawPipe;
  readonly done: Promise<void>;
  call(params: object, meta?: object): Promise<Fields>;
}
interface Options {
  readonly caller?: Caller;
  readonly most?: number;
  readonly holdMs?: number;
  readonly now?: () => number;
  readonly page?: boolean;
  readonly roundKey?: Uint8Array;
  readonly holdFor?: (client: Caller["client"]) => number | null;
}
const sides: Side[] = [];
function connect(gate: Gate, options: Options = {}): Side {
  const pipe = createRawPipe();
  const done = serveStdio(gate, options.caller ?? ANA, {
    holdMs: options.holdMs ?? 20,
    version: "0.0.0",
    log,
    stdin: pipe.stdin,
    stdout: pipe.stdout,
    ...(options.holdFor === undefined ? {} : { holdFor: options.holdFor }),
    rounds: {
      sealed: createRounds(options.roundKey ?? key, options.now ?? Date.now),
      most: options.most ?? 9,
      pageOf: (ticket) => (options.page === true ? PAGE + ticket : null),
    },
  });
  let id = 0;
  const side: Side = {
    pipe,
    done,
    async call(params, meta = {}) {
      pipe.send(modernRequest((id += 1), "tools/call", { ...params, _meta: meta }));
      return pipe.receive(20_000);
    },
  };
  sides.push(side);
  return side;
}
const leaveAll = async (): Promise<void> => {
  for (const { pipe, done } of sides.splice(0)) {
    pipe.end();
    await done;
  }
};
afterEach(leaveAll);

const deploy = (ref: string): { name: string; arguments: Fields } => ({
  name: "deploy_service",
  arguments: { service: "web", ref, justification: "because" },
});
const resultOf = (answer: Fields): Fields => answer["result"] as Fields;
const stateOf = (answer: Fields): string => String(resultOf(answer)["requestState"]);
const dataOf = (answer: Fields): Fields => resultOf(answer)["structuredContent"] as Fields;
const REFUSED = { code: -32602, data: { reason: "invalid_request_state" } };

/** A gate that counts what reaches it. */
function counting(gate: ScriptedGate): { gate: Gate; waits: () => number } {
  let waits = 0;
  return {
    gate: {
      ...gate,
      wait: (...given) => {
        waits += 1;
        return gate.wait(...given);
      },
    },
    waits: () => waits,
  };
}

describe("a client of 2026-07-28 without tasks", () => {
  test("is asked to come back with a state and nothing else, and gets the result of the same request", async () => {
    const gate = createScriptedGate();
    const side = connect(gate);
    const first = resultOf(await side.call(deploy("v1")));
    expect(Object.keys(first).sort()).toEqual(["_meta", "requestState", "resultType"]);
    expect(first["resultType"]).toBe("input_required");
    const ticket = String(gate.held()[0]);
    const second = side.call({ ...deploy("v1"), requestState: first["requestState"] });
    await gate.approve(ticket);
    expect(dataOf(await second)).toMatchObject({ status: "done", requestId: ticket });
    expect(gate.calls).toHaveLength(1);
  });

  test("gets the ticket after nine rounds, because it would stop at ten", async () => {
    const gate = createScriptedGate();
    const side = connect(gate, { holdMs: 1 });
    let answer = await side.call(deploy("v1"));
    let rounds = 0;
    while (resultOf(answer)["resultType"] === "input_required") {
      rounds += 1;
      answer = await side.call({ ...deploy("v1"), requestState: stateOf(answer) });
    }
    expect(rounds).toBe(9);
    expect(dataOf(answer)).toMatchObject({ status: "pending", ticket: gate.held()[0] });
    expect(gate.calls).toHaveLength(1);
  });

  test("waits in rounds on a ticket too", async () => {
    const gate = createScriptedGate();
    const side = connect(gate, { most: 1 });
    const first = await side.call(deploy("v1"));
    const { ticket } = dataOf(await side.call({ ...deploy("v1"), requestState: stateOf(first) }));
    const wait = { name: "countersign_wait", arguments: { ticket } };
    const round = await side.call(wait);
    expect(resultOf(round)["resultType"]).toBe("input_required");
    gate.deny(String(ticket), "no");
    expect(dataOf(await side.call({ ...wait, requestState: stateOf(round) }))).toMatchObject({
      code: "denied_by_person",
      reason: "no",
    });
  });

  test("is told at once what a person asks, with the ticket to answer it by, also between two rounds", async () => {
    const gate = createScriptedGate();
    const side = connect(gate, { holdMs: 30_000, holdFor: () => 10 });
    const first = await side.call(deploy("v1"));
    const ticket = String(gate.held()[0]);
    const id = gate.ask(ticket, "why today?");
    const patient = connect(gate, { holdMs: 30_000 });
    const told = dataOf(await patient.call({ ...deploy("v1"), requestState: stateOf(first) }));
    expect(told).toMatchObject({ status: "pending", ticket, inquiries: [{ id, text: "why today?" }] });
  });

  test("gets the ticket and no round when the gateway stops", async () => {
    const gate = createScriptedGate();
    const side = connect(gate, { holdMs: 60_000 });
    const answer = side.call(deploy("v1"));
    while (gate.held().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await gate.attached(String(gate.held()[0]), 1);
    side.pipe.end();
    expect(dataOf(await answer)).toMatchObject({ status: "pending" });
  });

  test("is shown the request's page on the first round, where it shows links and the operator wants it; what it answers is nothing", async () => {
    const gate = createScriptedGate();
    const url = { "io.modelcontextprotocol/clientCapabilities": { elicitation: { url: {} } } };
    const form = { "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {} } } };
    const side = connect(gate, { page: true });
    const first = await side.call(deploy("v1"), url);
    const ticket = String(gate.held()[0]);
    expect(resultOf(first)["inputRequests"]).toEqual({
      page: {
        method: "elicitation/create",
        params: { mode: "url", url: PAGE + ticket, message: expect.stringContaining("approves nothing") },
      },
    });
    const inputResponses = { page: { action: "accept" } };
    const second = await side.call({ ...deploy("v1"), requestState: stateOf(first), inputResponses }, url);
    expect(resultOf(second)).not.toHaveProperty("inputRequests");
    expect(resultOf(second)["resultType"]).toBe("input_required");
    expect(gate.held()).toEqual([ticket]);
    expect(resultOf(await side.call(deploy("v2"), form))).not.toHaveProperty("inputRequests");
    expect(resultOf(await connect(gate).call(deploy("v3"), url))).not.toHaveProperty("inputRequests");
  });

  test("is held as long as its name is known to last, and a name alone changes nothing else (P2)", async () => {
    const gate = createScriptedGate();
    const names: unknown[] = [];
    const side = connect(gate, {
      holdMs: 60_000,
      holdFor: (client) => {
        names.push(client?.name);
        return client?.name === "raw" ? 5 : null;
      },
    });
    expect(resultOf(await side.call(deploy("v1")))["resultType"]).toBe("input_required");
    expect(names).toEqual(["raw"]);
  });
});

describe("a state that is not one of this very call (N1)", () => {
  const hostile = (state: string): [string, unknown][] => {
    const bytes = Buffer.from(state.slice(4), "base64url");
    const flipped = (at: number): string => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ 1;
      return `cs1.${copy.toString("base64url")}`;
    };
    return [
      ["empty", ""],
      ["a number", 7],
      ["null", null],
      ["an object", { ticket: "x" }],
      ["a list", [state]],
      ["nonsense", "nonsense"],
      ["only the label", "cs1."],
      ["too short to hold a tag", `cs1.${randomBytes(20).toString("base64url")}`],
      ["random bytes", `cs1.${randomBytes(120).toString("base64url")}`],
      ["another label", state.replace("cs1.", "cs2.")],
      ["the nonce changed", flipped(0)],
      ["the text changed", flipped(14)],
      ["the tag changed", flipped(bytes.length - 1)],
      ["cut short", state.slice(0, -4)],
      ["longer", `${state}AAAA`],
      ["spelt otherwise", `${state}=`],
      ["huge", `cs1.${"A".repeat(1_000_000)}`],
    ];
  };

  test("is refused and nothing runs, waits or is asked", async () => {
    const scripted = createScriptedGate();
    const { gate, waits } = counting(scripted);
    const side = connect(gate);
    const state = stateOf(await side.call(deploy("v1")));
    for (const [what, requestState] of hostile(state)) {
      const answer = await side.call({ ...deploy("v1"), requestState });
      expect([what, answer["error"]]).toEqual([what, expect.objectContaining(REFUSED)]);
    }
    expect(scripted.calls).toHaveLength(1);
    expect(waits()).toBe(0);
  });

  test("does not move to other arguments, another tool, principal, agent or gateway", async () => {
    const scripted = createScriptedGate();
    const { gate, waits } = counting(scripted);
    const state = stateOf(await connect(gate).call(deploy("v1")));
    const { name, arguments: args } = deploy("v1");
    const elsewhere: [string, object, Options][] = [
      ["other arguments", deploy("v2"), {}],
      ["one argument more", { name, arguments: { ...args, x: 1 } }, {}],
      ["another tool", { name: "read_service", arguments: args }, {}],
      ["a tool that acts on tickets", { name: "countersign_withdraw", arguments: args }, {}],
      ["another principal", deploy("v1"), { caller: { ...ANA, principal: { kind: "named", id: "ben" } } }],
      [
        "an account of that name",
        deploy("v1"),
        { caller: { ...ANA, principal: { kind: "os", account: "ana" } } },
      ],
      ["another agent", deploy("v1"), { caller: { ...ANA, agent: "other" } }],
      ["no agent", deploy("v1"), { caller: { ...ANA, agent: null } }],
      ["a gateway with another key", deploy("v1"), { roundKey: randomBytes(32) }],
    ];
    for (const [what, params, options] of elsewhere) {
      const answer = await connect(gate, options).call({ ...params, requestState: state });
      expect([what, answer["error"]]).toEqual([what, expect.objectContaining(REFUSED)]);
      await leaveAll();
    }
    expect(waits()).toBe(0);
    expect(scripted.calls).toHaveLength(1);
    // The order of members is no difference, and another connection or process none either.
    const { service, ref, justification } = deploy("v1").arguments;
    const same = { name: "deploy_service", arguments: { justification, ref, service } };
    const answer = await connect(gate).call({ ...same, requestState: state });
    expect(resultOf(answer)["resultType"]).toBe("input_required");
  });

  test("is over after an hour, and the call without it is recognised", async () => {
    const gate = createScriptedGate();
    let now = 1_000_000;
    const side = connect(gate, { now: () => now });
    const state = stateOf(await side.call(deploy("v1")));
    now += 3_600_001;
    const late = await side.call({ ...deploy("v1"), requestState: state });
    expect(late["error"]).toMatchObject({ ...REFUSED, message: expect.stringContaining("recognised") });
    expect(resultOf(await side.call(deploy("v1")))["resultType"]).toBe("input_required");
    expect(gate.held()).toHaveLength(1);
  });

  test("used again does no more than the first time (N2): it waits, and after the end it reads the answer", async () => {
    const runs: unknown[] = [];
    const gate = createScriptedGate({ deploy: (input) => void runs.push(input) });
    const side = connect(gate);
    const requestState = stateOf(await side.call(deploy("v1")));
    for (const _ of [1, 2, 3]) await side.call({ ...deploy("v1"), requestState });
    await gate.approve(String(gate.held()[0]));
    for (const _ of [1, 2, 3]) {
      expect(dataOf(await side.call({ ...deploy("v1"), requestState }))).toMatchObject({ status: "done" });
    }
    expect(runs).toHaveLength(1);
    expect(gate.calls).toHaveLength(1);
  });

  test("means nothing to a client of the older revision: its call is a call", async () => {
    const gate = createScriptedGate();
    const { pipe } = connect(gate);
    pipe.send(legacyInitialize(0));
    await pipe.receive();
    pipe.send(notification("notifications/initialized"));
    pipe.send(legacyRequest(1, "tools/call", { ...deploy("v1"), requestState: "x" }));
    expect(dataOf(await pipe.receive())).toMatchObject({ status: "pending", ticket: gate.held()[0] });
  });
});

test("nothing of a state can be read by who carries it, and no two are the same", () => {
  const rounds = createRounds(key, Date.now);
  const call = { caller: ANA, tool: "deploy_service", arguments: { ref: "v1" } };
  const round = { ticket: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV", round: 3 };
  const states = [rounds.seal(call, round), rounds.seal(call, round)];
  expect(states[0]).not.toBe(states[1]);
  for (const state of states) {
    expect(Buffer.from(state.slice(4), "base64url").toString("latin1")).not.toContain("req_");
    expect(rounds.open(call, state)).toEqual(round);
  }
});

test("arguments as deep as a call may be can be sealed", () => {
  const rounds = createRounds(key, Date.now);
  let deep: unknown = 1;
  for (let i = 0; i < 64; i += 1) deep = [deep];
  const call = { caller: ANA, tool: "t", arguments: deep };
  expect(rounds.open(call, rounds.seal(call, { ticket: "req_x", round: 1 }))).toMatchObject({ round: 1 });
});

test("a state does not move between tokens that act through others, and ones that do not (N1)", () => {
  const rounds = createRounds(key, Date.now);
  const issuer = "https://idp.example.com";
  const through = (client: string, ...actors: string[]): Caller => ({
    ...ANA,
    agent: null,
    acting: { issuer, client, actors },
  });
  const callers = [
    through("desktop"),
    through("desktop", "worker-1"),
    through("other", "worker-1"),
    through("desktop", "worker-1", "ben-1"),
    through("desktop", "worker-1", "planner-1", "ben-1"),
  ];
  for (const [i, from] of callers.entries()) {
    const call = { caller: from, tool: "t", arguments: {} };
    const [round, fronted] = [
      rounds.seal(call, { ticket: "req_x", round: 1 }),
      rounds.sealOf(call, "theirs"),
    ];
    for (const [j, caller] of callers.entries()) {
      const opened = [rounds.open({ ...call, caller }, round), rounds.openOf({ ...call, caller }, fronted)];
      expect(opened).toEqual(i === j ? [{ ticket: "req_x", round: 1 }, "theirs"] : [null, null]);
    }
  }
});
