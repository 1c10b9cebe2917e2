import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { CountersignError } from "../../src/errors.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

// The sealed documents of an ended request are erased. Is that ever done without the log saying so?

let world: World;
afterEach(() => world.close());

test("sealed documents are erased once the log says so, and not before (L1)", async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  const { home } = world;
  const reply = await callTool(home, "write_note", { book: "log", text: "x" }, { holdMs: 5_000 });
  const { request } = reply as { readonly request: RequestId };
  const steward = await world.open();
  const { append } = steward.store;
  let isFull = true;
  Object.assign(steward.store, {
    append: (batch: Parameters<typeof append>[0]) =>
      isFull && batch.entries.some(({ kind }) => kind === "blob.erased")
        ? Promise.reject(new CountersignError("STORE_FULL", "the disk has no room"))
        : append(batch),
  });
  await steward.startSteward();
  const rounds = async (): Promise<void> => {
    clock.advance(11 * 60_000);
    for (let i = 0; i < 2; i += 1) await steward.stewardRound();
  };
  await rounds();
  expect(await home.store.blobs.sealedRequests()).toContain(request);
  isFull = false;
  await rounds();
  expect(await home.store.blobs.sealedRequests()).not.toContain(request);
  const erased = (await steward.store.newestEntries(50)).filter(({ kind }) => kind === "blob.erased");
  expect(erased).toMatchObject([{ data: { request, why: "the request ended" } }]);
});
