import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { Caller } from "../../../src/request/principal.ts";
import { MAX_MESSAGE_BYTES } from "../../../src/transport/mcp/message.ts";
import { serveStdio } from "../../../src/transport/mcp/stdio.ts";
import { createRawPipe, type RawPipe } from "../../support/raw-stdio.ts";
import { legacyInitialize, legacyRequest, modernRequest, notification } from "../../support/rpc.ts";
import {
  createScriptedGate,
  type ScriptedGate,
  type ScriptedGateParts,
} from "../../support/scripted-gate.ts";
import { LEGACY_SCRIPT, MODERN_SCRIPT, transcribe } from "../../support/transcript.ts";

const log = pino({ level: "silent" });
const caller: Caller = {
  principal: { kind: "os", account: "1000@laptop" },
  agent: "desktop",
  transport: "stdio",
  client: null,
};

interface Served {
  readonly gate: ScriptedGate;
  readonly pipe: RawPipe;
  readonly done: Promise<void>;
}
const served: Served[] = [];
function serve(options: { holdMs?: number; progressEveryMs?: number } & ScriptedGateParts = {}): Served {
  const gate = createScriptedGate(options);
  const pipe = createRawPipe();
  const done = serveStdio(gate, caller, {
    holdMs: options.holdMs ?? 50,
    version: "0.0.0",
    log,
    progressEveryMs: options.progressEveryMs ?? 10_000,
    stdin: pipe.stdin,
    stdout: pipe.stdout,
  });
  const one = { gate, pipe, done };
  served.push(one);
  return one;
}
afterEach(async () => {
  for (const { pipe, done } of served.splice(0)) {
    pipe.end();
    await done;
  }
});

const deploy = (ref: string, meta?: object): { name: string; arguments: object; _meta?: object } => ({
  name: "deploy_service",
  arguments: { service: "web", ref, justification: "because" },
  ...(meta === undefined ? {} : { _meta: meta }),
});
const openLegacy = async (pipe: RawPipe): Promise<void> => {
  pipe.send(legacyInitialize(0));
  await pipe.receive();
  pipe.send(notification("notifications/initialized"));
};
const dataOf = (answer: Record<string, unknown>): Record<string, unknown> =>
  (answer["result"] as { structuredContent: Record<string, unknown> }).structuredContent;

describe("the words on the wire", () => {
  test("a client of 2025-11-25 sees exactly this", async () => {
    const { gate, pipe } = serve();
    const text = await transcribe(LEGACY_SCRIPT, gate, pipe);
    await expect(text).toMatchFileSnapshot("../../golden/mcp/transcript-2025-11-25.txt");
  });

  test("a client of 2026-07-28 sees exactly this", async () => {
    const { gate, pipe } = serve();
    const text = await transcribe(MODERN_SCRIPT, gate, pipe);
    await expect(text).toMatchFileSnapshot("../../golden/mcp/transcript-2026-07-28.txt");
  });

  test.each(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])(
    "opens with revision %s",
    async (version) => {
      const { pipe } = serve();
      pipe.send(legacyInitialize(1, version));
      expect(await pipe.receive()).toMatchObject({ result: { protocolVersion: version } });
    },
  );
});

describe("what is handed to the gate", () => {
  test("arguments, reasoning and call id pass as they came, and the client is a claim (P2)", async () => {
    const { gate, pipe } = serve();
    const reasoning = { v: 1, blocks: [{ type: "thinking", thinking: "…", signature: "s" }] };
    const args = '{"service":"web","ref":"main","extra":{"__proto__":{"a":1},"n":1e400}}';
    pipe.sendBytes(
      `${JSON.stringify(modernRequest(1, "tools/call", { name: "deploy_service", _meta: { "dev.countersign/reasoning": reasoning, "dev.countersign/callId": "call_1" } })).replace('"name":"deploy_service"', `"name":"deploy_service","arguments":${args}`)}\n`,
    );
    await pipe.receive();
    const [call] = gate.calls;
    expect(call?.arguments).toEqual(JSON.parse(args));
    const { extra } = (call as { arguments: { extra: object } }).arguments;
    expect(Object.hasOwn(extra, "__proto__")).toBe(true);
    expect(call?.reasoning).toEqual(reasoning);
    expect(call?.callId).toBe("call_1");
    expect(call?.caller).toEqual({ ...caller, client: { name: "raw", version: "1.2.3" } });
  });

  test("Claude Code's tool use id is the call id, and a re-sent call finds its request", async () => {
    const { gate, pipe } = serve();
    await openLegacy(pipe);
    const tickets: unknown[] = [];
    for (const id of [1, 2]) {
      pipe.send(legacyRequest(id, "tools/call", deploy("v1", { "claudecode/toolUseId": "toolu_01" })));
      tickets.push(dataOf(await pipe.receive())["ticket"]);
    }
    expect(tickets[0]).toBe(tickets[1]);
    expect(gate.calls.map((call) => call.callId)).toEqual(["toolu_01", "toolu_01"]);
    expect(gate.held()).toHaveLength(1);
  });

  test("a call id that is none is refused, not dropped: the call would quietly become a new one", async () => {
    const { gate, pipe } = serve();
    await openLegacy(pipe);
    for (const id of [7, "", "x".repeat(257), null]) {
      pipe.send(legacyRequest(1, "tools/call", deploy("v1", { "dev.countersign/callId": id })));
      expect(await pipe.receive()).toMatchObject({ error: { code: -32602 } });
    }
    expect(gate.calls).toHaveLength(0);
  });

  test("a request that is taken back is withdrawn, which is no error, and waiting on it says so", async () => {
    const { gate, pipe } = serve();
    await openLegacy(pipe);
    pipe.send(legacyRequest(1, "tools/call", deploy("v1")));
    const { ticket } = dataOf(await pipe.receive());
    const args = { ticket, reason: "the user changed their mind" };
    pipe.send(legacyRequest(2, "tools/call", { name: "countersign_withdraw", arguments: args }));
    const withdrawn = await pipe.receive();
    expect(withdrawn["result"]).toMatchObject({ isError: false, structuredContent: { code: "withdrawn" } });
    expect(gate.held()).toEqual([]);
    pipe.send(legacyRequest(3, "tools/call", { name: "countersign_wait", arguments: { ticket } }));
    expect((await pipe.receive())["result"]).toMatchObject({
      isError: true,
      structuredContent: { code: "withdrawn" },
    });
  });

  test("a broken gate tells the client nothing of the cause", async () => {
    const { gate, pipe } = serve();
    await openLegacy(pipe);
    gate.breakNextCall();
    pipe.send(legacyRequest(1, "tools/call", deploy("v1")));
    const answer = await pipe.receive();
    expect(dataOf(answer)["status"]).toBe("unknown");
    expect(JSON.stringify(answer)).not.toContain("secret");
  });
});

describe("progress", () => {
  test("comes at once on every message and again on every tick, strictly counting up", async () => {
    const { gate, pipe } = serve({ holdMs: 10_000, progressEveryMs: 30 });
    await openLegacy(pipe);
    pipe.send(legacyRequest(1, "tools/call", deploy("v1", { progressToken: "t" })));
    const seen: { progress: number; message: string }[] = [];
    const next = async (): Promise<void> => {
      const message = await pipe.receive();
      expect(message["method"]).toBe("notifications/progress");
      const params = message["params"] as { progressToken: string; progress: number; message: string };
      expect(params.progressToken).toBe("t");
      seen.push(params);
    };
    await next();
    const ticket = gate.held()[0] ?? "";
    gate.say(ticket, "1 of 2 approved\n\u001b[31mby eve");
    await next();
    await next();
    await next();
    expect(seen.map((one) => one.progress)).toEqual([1, 2, 3, 4]);
    expect(seen[0]?.message).toBe("waiting for 1 of 1 approvals");
    expect(seen[1]?.message).toBe("1 of 2 approved ⟦U+001B⟧[31mby eve");
    await gate.approve(ticket);
    let last = await pipe.receive();
    while (last["method"] !== undefined) last = await pipe.receive();
    expect(dataOf(last)["status"]).toBe("done");
    expect(await pipe.isSilent(100)).toBe(true);
  });

  test("is not sent to a client that gave no token", async () => {
    const { pipe } = serve({ holdMs: 150, progressEveryMs: 10 });
    await openLegacy(pipe);
    pipe.send(legacyRequest(1, "tools/call", deploy("v1")));
    expect(dataOf(await pipe.receive())["status"]).toBe("pending");
  });
});

describe("a caller that leaves", () => {
  test.each(["legacy", "modern"] as const)("only detaches when it cancels, in the %s era", async (era) => {
    const { gate, pipe } = serve({ holdMs: 60_000 });
    if (era === "legacy") await openLegacy(pipe);
    const request = era === "legacy" ? legacyRequest : modernRequest;
    pipe.send(request(5, "tools/call", deploy("v1")));
    while (gate.held().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const ticket = gate.held()[0] ?? "";
    await gate.attached(ticket, 1);
    pipe.send(notification("notifications/cancelled", { requestId: 5, reason: "the user pressed escape" }));
    await gate.attached(ticket, 0);
    expect(gate.held()).toEqual([ticket]);
    expect(await pipe.isSilent(50)).toBe(true);
    await gate.approve(ticket);
    pipe.send(request(6, "tools/call", { name: "countersign_wait", arguments: { ticket } }));
    expect(dataOf(await pipe.receive())["status"]).toBe("done");
  });

  test("gets the tickets of its held calls when the input ends, and the request stays open", async () => {
    const { gate, pipe, done } = serve({ holdMs: 60_000 });
    await openLegacy(pipe);
    pipe.send(legacyRequest(1, "tools/call", deploy("v1")));
    pipe.end();
    expect(dataOf(await pipe.receive())["status"]).toBe("pending");
    await done;
    expect(gate.held()).toHaveLength(1);
  });

  test("does not break off a call that has begun to run", async () => {
    let finish = (): void => undefined;
    let ran = false;
    const { gate, pipe, done } = serve({
      holdMs: 60_000,
      deploy: async () => {
        await new Promise<void>((resolve) => (finish = resolve));
        ran = true;
      },
    });
    await openLegacy(pipe);
    pipe.send(legacyRequest(1, "tools/call", deploy("v1")));
    while (gate.held().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const approved = gate.approve(gate.held()[0] ?? "");
    pipe.end();
    await done;
    finish();
    await approved;
    expect(ran).toBe(true);
  });

  test("gets answers to everything it piped in before it closed its end", async () => {
    const { pipe, done } = serve();
    pipe.send(legacyInitialize(1));
    pipe.send(notification("notifications/initialized"));
    pipe.send(legacyRequest(2, "tools/list"));
    pipe.end();
    expect((await pipe.receive())["id"]).toBe(1);
    expect((await pipe.receive())["id"]).toBe(2);
    await done;
  });
});

describe("hostile input", () => {
  test("is answered line by line, and the connection goes on", async () => {
    const { pipe } = serve();
    await openLegacy(pipe);
    const cases: [string | Uint8Array, number, unknown][] = [
      ["not json at all\n", -32700, null],
      [Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]), -32700, null],
      ['[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]\n', -32600, null],
      [`{"jsonrpc":"2.0","id":1,"method":"x","params":${"[".repeat(500)}\n`, -32600, null],
      [`{"jsonrpc":"2.0","id":1,"method":"${"x".repeat(MAX_MESSAGE_BYTES)}"}\n`, -32600, null],
      ['{"jsonrpc":"2.0","id":7}\n', -32600, 7],
      ['{"jsonrpc":"1.0","id":"seven","method":"tools/list"}\n', -32600, "seven"],
      ['{"jsonrpc":"2.0","id":{"a":1},"method":"tools/list"}\n', -32600, null],
      ["true\n", -32600, null],
    ];
    for (const [input, code, id] of cases) {
      pipe.sendBytes(input);
      expect(await pipe.receive()).toMatchObject({ id, error: { code } });
    }
    pipe.sendBytes("\n\r\n");
    pipe.send(legacyRequest(9, "tools/list"));
    expect((await pipe.receive())["id"]).toBe(9);
  });

  test("cannot call what is not there: no method of approval exists on the wire (P1)", async () => {
    const { gate, pipe } = serve();
    await openLegacy(pipe);
    for (const method of ["tools/approve", "decisions/create", "countersign/approve", "policy/adopt"]) {
      pipe.send(legacyRequest(1, method));
      expect(await pipe.receive()).toMatchObject({ error: { code: -32601 } });
    }
    expect(gate.calls).toHaveLength(0);
  });
});
