import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { createCallsUnderWay } from "../../../src/transport/mcp/calls-under-way.ts";

const untilAborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason));
  });

test("a call hears that it is not waited for any more from each of its sources, one that has gone before included", async () => {
  const underWay = createCallsUnderWay();
  const [one, other] = [new AbortController(), new AbortController()];
  const call = underWay.run([one.signal, other.signal], untilAborted);
  other.abort("left");
  one.abort("late");
  expect(await call).toBe("left");
  expect(await underWay.run([new AbortController().signal, other.signal], untilAborted)).toBe("left");
});

test("what a call gives and throws comes through, and nothing is left behind in its sources", async () => {
  const underWay = createCallsUnderWay();
  const source = new AbortController();
  expect(await underWay.run([source.signal], () => Promise.resolve("done"))).toBe("done");
  await expect(underWay.run([source.signal], () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(getEventListeners(source.signal, "abort")).toEqual([]);
  let kept: AbortSignal | undefined;
  await underWay.run([source.signal], (signal) => Promise.resolve((kept = signal)));
  source.abort();
  expect(kept?.aborted).toBe(false);
});

test("stopping ends the waits of all calls, of those that come later too, and settles when the last has ended", async () => {
  const underWay = createCallsUnderWay();
  await underWay.settled();
  const held = Array.from({ length: 100 }, () => underWay.run([], untilAborted));
  let end: () => void = () => undefined;
  const slow = underWay.run([], () => new Promise<void>((resolve) => (end = resolve)));
  underWay.stop();
  await Promise.all(held);
  await underWay.run([], untilAborted);
  let isSettled = false;
  const settled = underWay.settled().then(() => (isSettled = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isSettled).toBe(false);
  end();
  await settled;
  await slow;
});
