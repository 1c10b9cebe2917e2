import { expect, test } from "vitest";
import { newId } from "../../src/base/id.ts";
import { isAlive, processStart, thisOwner } from "../../src/execution/owner.ts";

// Can a dead gateway pass for alive, so that what it left is never recovered?

const self = thisOwner(Date.now());
const other = (change: object) => ({ ...self, boot: newId("boot", Date.now()), ...change });

test("a pid that is another process by now does not keep a dead owner alive", () => {
  expect(isAlive(other({}), self)).toBe(true);
  expect(isAlive(other({ start: "1" }), self)).toBe(processStart(process.pid) === null);
});

test("a pid that belongs to somebody else's process now does not either", (context) => {
  const start = processStart(1);
  if (start === null) return context.skip("no /proc here");
  expect(isAlive(other({ pid: 1, start }), self)).toBe(true);
  expect(isAlive(other({ pid: 1, start: `${start}0` }), self)).toBe(false);
});
