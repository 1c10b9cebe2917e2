import { tmpdir } from "node:os";
import type { JSONRPCMessage } from "@modelcontextprotocol/client";
import { afterEach, expect, test } from "vitest";
import { NotSent } from "../../src/upstream/failure.ts";
import { createStdioTransport, type StdioTransport } from "../../src/upstream/stdio-transport.ts";

// A process that writes faster than we look, or never reads: whose memory does it fill?

let transport: StdioTransport | null = null;
afterEach(async () => {
  await transport?.close();
  transport = null;
});

const start = async (
  script: string,
  onMessage: (message: JSONRPCMessage) => void,
  maxMessageBytes = 1 << 20,
): Promise<StdioTransport> => {
  const made = createStdioTransport({
    command: [process.execPath, "-e", script],
    cwd: tmpdir(),
    env: { PATH: process.env["PATH"] ?? "" },
    maxMessageBytes,
    onStderr: () => undefined,
    onGarbage: () => undefined,
  });
  transport = made;
  made.onmessage = onMessage;
  await made.start();
  return made;
};

test("a flood of progress waits in the server's own pipe", async () => {
  const lines = 100_000;
  let delivered = 0;
  let deliveredAtEnd = -1;
  const script = `const line = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: 0, progress: 1 } }) + "\\n";
    const block = Buffer.from(line.repeat(1_000));
    const { writeSync } = require("node:fs");
    for (let i = 0; i < ${lines}; i += 1_000) for (let at = 0; at < block.length;) {
      try { at += writeSync(1, block, at); } catch (error) { if (error.code !== "EAGAIN") throw error; }
    }`;
  const made = await start(script, () => void (delivered += 1));
  await new Promise<void>((resolve) => {
    made.onclose = () => {
      deliveredAtEnd = delivered;
      resolve();
    };
  });
  // It could end only when all was written: what was not delivered then is what can wait here and in the pipe.
  expect(deliveredAtEnd).toBeGreaterThan(lines - 10_000);
});

test("replies that follow notifications come after them, and none is lost", async () => {
  const script = `const line = (message) => JSON.stringify({ jsonrpc: "2.0", ...message }) + "\\n";
    let text = "";
    for (let i = 0; i < 5_000; i += 1) text += line({ method: "notifications/x", params: { i } }) + line({ id: i, result: {} });
    process.stdout.write(text);
    process.stdin.on("data", () => undefined).on("end", () => process.exit(0));`;
  const seen: string[] = [];
  await start(script, (message) => {
    const { id, params } = message as { id?: number; params?: { i: number } };
    seen.push(id === undefined ? `n${String(params?.i)}` : `r${id}`);
  });
  await expect.poll(() => seen.length, { timeout: 60_000 }).toBe(10_000);
  expect(seen).toEqual(Array.from({ length: 5_000 }, (_, i) => [`n${i}`, `r${i}`]).flat());
});

test("a server that does not read gets no more than can wait, and what was not sent is told as such", async () => {
  const made = await start("setInterval(() => undefined, 1_000)", () => undefined, 1 << 20);
  const message = { jsonrpc: "2.0" as const, method: "x", params: { fill: "x".repeat(400_000) } };
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i += 1) sent.push(made.send(message).catch((error: unknown) => error));
  const last = await sent.at(-1);
  expect(last).toBeInstanceOf(NotSent);
});

test("messages that wait for the pipe leave no listener behind, however many there are", async () => {
  const warnings: string[] = [];
  const warned = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", warned);
  try {
    const script = 'process.stdin.on("data", () => undefined).on("end", () => process.exit(0))';
    const made = await start(script, () => undefined);
    const message = { jsonrpc: "2.0" as const, method: "x", params: { fill: "x".repeat(500_000) } };
    for (let i = 0; i < 12; i += 1) await made.send(message);
    await made.close();
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeListener("warning", warned);
  }
  expect(warnings).toEqual([]);
});

test("what waits for the pipe of a process that ends is waited for no longer", async () => {
  const made = await start("setTimeout(() => process.exit(0), 300)", () => undefined);
  const message = { jsonrpc: "2.0" as const, method: "x", params: { fill: "x".repeat(400_000) } };
  // It may have arrived: that is no error of sending.
  expect(await Promise.all([made.send(message), made.send(message)])).toHaveLength(2);
});
