import { afterEach, beforeEach, expect, test } from "vitest";
import { newId, type RequestId } from "../../src/base/id.ts";
import type { Entry } from "../../src/log/entry.ts";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";
import { createFakeClock } from "../support/fake-clock.ts";

// A ticket is what an agent or a token sends. One that was made up, with whatever time in it, must not cost a read of
// all that ever happened.

const DAY = 86_400_000;
let bed: EmbeddedBed;
beforeEach(() => {
  bed = embeddedBed();
});
afterEach(() => bed.remove());

test("a made-up ticket is looked for where it would begin, a real one is found however old it is", async () => {
  let bytesRead = 0;
  const files: Files = {
    ...systemFiles,
    readLater: async (...given) => {
      const count = await systemFiles.readLater(...given);
      bytesRead += count;
      return count;
    },
  };
  const clock = createFakeClock();
  const store = await bed.open({ create: true, clock, files });
  const write = (subject: RequestId, message: string) => ({
    ...{ kind: "request.stale" as const, subject, policy: null },
    data: { why: "guard_changed" as const, message },
  });
  const began = clock.now();
  let first: RequestId | null = null;
  for (let day = 0; day < 60; day += 1) {
    const ids = Array.from({ length: 100 }, () => newId("req", clock.now()));
    first ??= ids[0] ?? null;
    const entries = ids.map((id) => write(id, "x".repeat(1_000)));
    expect(await store.append({ expect: [], newKeys: [], entries })).toMatchObject({ ok: true });
    clock.advance(DAY);
  }
  if (first === null) throw new Error("nothing was written");
  expect(
    await store.append({ expect: [], newKeys: [], entries: [write(first, "long after")] }),
  ).toMatchObject({ ok: true });
  const find = async (id: RequestId): Promise<{ found: Entry[]; bytes: number }> => {
    bytesRead = 0;
    const found: Entry[] = [];
    for await (const { entry } of store.entriesOf(id)) found.push(entry);
    return { found, bytes: bytesRead };
  };
  const all = await find(first);
  expect(all.found.map(({ data }) => (data as { message: string }).message.length)).toEqual([1_000, 10]);
  expect(all.bytes).toBeGreaterThan(6_000_000);
  for (const time of [0, began - DAY, began, began + 20 * DAY]) {
    const { found, bytes } = await find(newId("req", time));
    expect([time, found]).toEqual([time, []]);
    expect(bytes).toBeLessThan(2_500_000);
  }
  await store.close();
});
