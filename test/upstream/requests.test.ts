import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/client";
import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { ErrorReply, LOCAL, LostReply } from "../../src/upstream/failure.ts";
import { createRequests, type RequestOptions } from "../../src/upstream/requests.ts";

const ENVELOPE = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };

/** A line to nowhere: what was sent, and the means to say something as the server. */
function world(over: Partial<Transport> = {}) {
  const sent: {
    readonly message: JSONRPCMessage & { readonly id: number };
    readonly signal?: AbortSignal;
  }[] = [];
  const errors: string[] = [];
  const heard: unknown[] = [];
  const line: Transport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    send: (message, options) => {
      sent.push({
        message: message as never,
        ...(options?.requestSignal === undefined ? {} : { signal: options.requestSignal }),
      });
      return Promise.resolve();
    },
    ...over,
  };
  const requests = createRequests(line);
  requests.transport.onmessage = (message) => void heard.push(message);
  requests.transport.onerror = (error) => void errors.push(error.message);
  const gone = new AbortController();
  const ask = (options: Partial<RequestOptions> = {}, envelope: JsonObject | null = ENVELOPE) =>
    requests.request("tools/call", { name: "act" }, envelope, {
      ...{ signal: gone.signal, timeoutMs: 60_000 },
      ...options,
    });
  const say = (message: object): void => line.onmessage?.({ jsonrpc: "2.0", ...message } as JSONRPCMessage);
  return { requests, sent, errors, heard, gone, ask, say };
}

/** Deeper than whatever walks a value by calling itself. */
const bottomless = JSON.parse(`${"[".repeat(200_000)}${"]".repeat(200_000)}`) as unknown;

const complete = (more: object = {}): object => ({ resultType: "complete", content: [], ...more });

test("a result comes back whole, under the id of whoever asked, and a number may come back as text", async () => {
  const { ask, sent, say, heard } = world();
  const [one, other] = [ask(), ask({ meta: { trace: "t" } })];
  const [first, second] = sent.map(({ message }) => message);
  expect(second).toMatchObject({ params: { name: "act", _meta: { ...ENVELOPE, trace: "t" } } });
  const strange = [{ type: "hologram", data: { deep: [1, null] } }];
  say({ id: String(second?.id), result: complete({ content: strange, extra: 1 }) });
  say({ id: first?.id, result: complete() });
  expect(await one).toEqual({ content: [] });
  expect(await other).toEqual({ content: strange, extra: 1 });
  expect(heard).toEqual([]);
});

test("the client's own requests keep their answers, and an answer to nothing reaches nobody", async () => {
  const { requests, ask, sent, say, heard, errors } = world();
  await requests.transport.send({ jsonrpc: "2.0", id: 0, method: "server/discover" });
  const mine = ask();
  for (const id of [null, "", [], {}, true, 1, "1e0", "0x0", 999_999_999]) say({ id, result: complete() });
  expect([heard, errors.length]).toEqual([[], 9]);
  say({ id: 0, result: { era: "modern" } });
  expect(heard).toEqual([{ jsonrpc: "2.0", id: 0, result: { era: "modern" } }]);
  say({ id: 0, result: { again: true } });
  say({ id: sent[1]?.message.id, result: complete() });
  say({ id: sent[1]?.message.id, result: complete({ again: true }) });
  expect(await mine).toEqual({ content: [] });
  expect([heard.length, errors.length]).toEqual([1, 11]);
});

test.each([
  ["no object", { result: [] }],
  ["nothing", {}],
  ["neither", { result: null }],
  ["a text for an error", { error: "no" }],
  ["an error without a code", { error: { message: "no" } }],
  ["an error of words in place of a number", { error: { code: "-32000", message: "no" } }],
  ["no result type", { result: { content: [] } }],
  ["a type that is not known", { result: { resultType: "dream", content: [] } }],
  ["a type that is no text", { result: { resultType: { complete: true }, content: [] } }],
  ["a type that nobody can put into words", { result: { resultType: bottomless, content: [] } }],
  ["a task that nobody asked for", { result: { resultType: "task", taskId: "t" } }],
  ["a want of input that does not say which", { result: { resultType: "input_required" } }],
])("an answer that is %s is a lost reply, at once (X2)", async (_, answer) => {
  const { ask, sent, say } = world();
  const asked = ask();
  say({ id: sent[0]?.message.id, ...answer });
  await expect(asked).rejects.toBeInstanceOf(LostReply);
});

test("before 2026-07-28 a result has no type, and one that is there is not passed on", async () => {
  const { ask, sent, say } = world();
  const [one, other] = [ask({}, null), ask({}, null)];
  expect(sent[0]?.message).toMatchObject({ params: { name: "act" } });
  expect(JSON.stringify(sent[0]?.message)).not.toContain("_meta");
  say({ id: sent[0]?.message.id, result: { content: [] } });
  say({ id: sent[1]?.message.id, result: { content: [], resultType: "input_required" } });
  expect([await one, await other]).toEqual([{ content: [] }, { content: [] }]);
});

test("an error of the server is its answer; one of ours says that the reply is lost", async () => {
  const { ask, sent, say } = world();
  const asked = [ask(), ask()];
  say({ id: sent[0]?.message.id, error: { code: -32_050, message: "no", data: { why: 1 } } });
  say({ id: sent[1]?.message.id, error: { code: LOCAL.tooLarge, message: "too much" } });
  const [told, lost] = await Promise.allSettled(asked);
  expect(told).toMatchObject({ reason: { error: { code: -32_050, message: "no", data: { why: 1 } } } });
  expect((told as PromiseRejectedResult).reason).toBeInstanceOf(ErrorReply);
  expect((lost as PromiseRejectedResult).reason).toBeInstanceOf(LostReply);
});

test("progress goes to the request that it names, before its answer and not after it", async () => {
  const { ask, sent, say, heard } = world();
  const told: unknown[] = [];
  const asked = ask({ progress: (facts) => told.push(facts) });
  const silent = ask();
  const [mine, others] = sent.map(({ message }) => message.id);
  const progress = (progressToken: unknown, more: object): void =>
    say({ method: "notifications/progress", params: { progressToken, ...more } });
  progress(mine, { progress: 1, total: 2, message: "half" });
  progress(others, { progress: 1 });
  progress(mine, { progress: "much", message: ["no"] });
  say({ id: mine, result: complete() });
  progress(mine, { progress: 2 });
  await asked;
  expect(told).toEqual([{ progress: 1, total: 2, message: "half" }, { progress: 0 }]);
  expect(heard).toHaveLength(1);
  say({ id: others, result: complete() });
  await silent;
});

test.each([
  ["an object that is no text", { toString: null, valueOf: 1 }],
  ["a list in a list and so on", bottomless],
  ["nothing", null],
  ["true", true],
])("progress for %s is nobody's here, and breaks nothing", async (_, progressToken) => {
  const { ask, sent, say, heard } = world();
  const told: unknown[] = [];
  const asked = ask({ progress: (facts) => told.push(facts) });
  say({ method: "notifications/progress", params: { progressToken, progress: 1 } });
  say({ id: sent[0]?.message.id, result: complete() });
  await asked;
  expect([told, heard.length]).toEqual([[], 1]);
});

test("who leaves, or waits too long, is told so at once; the server hears of it once, and its late answer reaches nobody", async () => {
  const { ask, sent, say, errors, gone } = world();
  const late = ask({ timeoutMs: 20 });
  await expect(late).rejects.toThrow("no answer came in time");
  const left = ask();
  gone.abort();
  await expect(left).rejects.toBeInstanceOf(LostReply);
  const said = sent.map(({ message }) => message as unknown as { method: string; params: object });
  expect(said.map(({ method }) => method)).toEqual([
    ...["tools/call", "notifications/cancelled", "tools/call", "notifications/cancelled"],
  ]);
  expect(said[1]?.params).toEqual({
    ...{ requestId: sent[0]?.message.id, reason: "no answer came in time", _meta: ENVELOPE },
  });
  say({ id: sent[0]?.message.id, result: complete() });
  say({ id: sent[2]?.message.id, result: complete() });
  expect(errors).toEqual(["an answer to no request", "an answer to no request"]);
  expect(getEventListeners(gone.signal, "abort")).toEqual([]);
});

test("where each request has a stream of its own, leaving ends that", async () => {
  const { ask, sent, gone } = world({ hasPerRequestStream: true });
  const asked = ask();
  expect(sent[0]?.signal?.aborted).toBe(false);
  gone.abort();
  await expect(asked).rejects.toBeInstanceOf(LostReply);
  expect([sent.length, sent[0]?.signal?.aborted]).toEqual([1, true]);
});

test("what can't be sent says why, and a connection that ends leaves nobody waiting", async () => {
  const broken = world({ send: () => Promise.reject(new Error("no way out")) });
  await expect(broken.ask()).rejects.toThrow("no way out");
  // Whatever it says it with: it is no answer of the server's (X2).
  for (const why of ["no", undefined, { content: [] }]) {
    await expect(world({ send: () => Promise.reject(why) }).ask()).rejects.toBeInstanceOf(LostReply);
  }
  const { requests, ask, gone } = world();
  const open = [ask(), ask()];
  requests.end();
  const ended = await Promise.allSettled(open);
  expect(ended.every((one) => one.status === "rejected" && one.reason instanceof LostReply)).toBe(true);
  expect(getEventListeners(gone.signal, "abort")).toEqual([]);
});
