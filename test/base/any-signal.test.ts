import { getEventListeners } from "node:events";
import { expect, test, vi } from "vitest";
import { anySignal } from "../../src/base/any-signal.ts";

/** How much a signal remembers of those that depend on it. */
const remembered = (source: AbortSignal): number => {
  const key = Object.getOwnPropertySymbols(source).find((one) => one.description === "kDependantSignals");
  const dependants = key === undefined ? undefined : (source as unknown as Record<symbol, Set<unknown>>)[key];
  return getEventListeners(source, "abort").length + (dependants?.size ?? 0);
};

test("is aborted with the first of its sources, for that one's reason, and by one that was aborted before", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const { signal } = anySignal([one.signal, other.signal]);
  expect(signal.aborted).toBe(false);
  other.abort("left");
  one.abort("late");
  expect([signal.aborted, signal.reason]).toEqual([true, "left"]);
  expect(anySignal([new AbortController().signal, other.signal]).signal.reason).toBe("left");
});

test("leaves nothing behind in a source that lives on, and hears nothing of it, once it is released", () => {
  const stopping = new AbortController();
  for (let i = 0; i < 1_000; i += 1) anySignal([new AbortController().signal, stopping.signal]).release();
  expect(remembered(stopping.signal)).toBe(0);
  const { signal, release } = anySignal([stopping.signal]);
  expect(remembered(stopping.signal)).toBe(1);
  release();
  stopping.abort();
  expect(signal.aborted).toBe(false);
});

test("many at once are no cause for a warning", () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const stopping = new AbortController();
  const made = Array.from({ length: 20 }, () => anySignal([stopping.signal]));
  expect(warn).not.toHaveBeenCalled();
  warn.mockRestore();
  stopping.abort();
  expect(made.every(({ signal }) => signal.aborted)).toBe(true);
});
