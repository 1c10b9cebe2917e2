import fc from "fast-check";
import { expect, test } from "vitest";
import { createLogKey } from "../../src/log/checkpoint.ts";
import { createCosigner } from "../../src/log/cosignature.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import { parseTlogProof, verifyTlogProof } from "../../src/log/proof.ts";
import { lookAt, type Kept, type Sight, type WatchedLog } from "../../src/witness/look.ts";
import { createStory, requestId, type Story } from "../support/log-story.ts";

// A witness is shown logs that grew, and logs that were made to look as if. Which does it cosign?

const cosigner = createCosigner({ name: "witness.example.com", privateKeyPem: createLogKey() });
const T = 1_800_000_000;

const watched = ({ log }: Story, change: Partial<WatchedLog> = {}): WatchedLog => ({
  ...log.store,
  catchUp: async () => undefined,
  rotations: () => log.lines.flatMap((line, seq) => (line.includes('"kind":"log.key_rotated"') ? [seq] : [])),
  ...change,
});
const look = (log: WatchedLog, kept: Kept | null, change: { pinned?: string; seconds?: number } = {}) =>
  lookAt({ log, kept, cosigner, pinned: change.pinned ?? null, seconds: change.seconds ?? T });
const keptOf = ({ checkpoint, key, cosignedAt }: Sight): Kept => ({ checkpoint, key, cosignedAt });
const seen = async (log: WatchedLog, kept: Kept | null = null): Promise<Sight> => {
  const looked = await look(log, kept);
  if (!looked.ok) throw new Error(looked.error.message);
  return looked.value;
};
const storyOf = (requests: number): Story => {
  const story = createStory();
  story.open();
  for (let n = 1; n <= requests; n += 1) story.allowedRequest(requestId(n));
  return story;
};

test("a log that only grows is cosigned at every look, with a proof of its newest entry", async () => {
  const story = createStory();
  story.open();
  let kept: Kept | null = null;
  for (let n = 1; n < 12; n += 1) {
    const sight: Sight = await seen(watched(story), kept);
    expect(sight.checkpoint.size).toBe(story.log.lines.length);
    const key = parseVerifierKey(sight.key);
    if (!key.ok) throw new Error(key.error);
    const newest = Buffer.from(story.log.lines.at(-1) as string);
    expect(verifyTlogProof(sight.proof, newest, key.value)).toMatchObject({ ok: true });
    expect(parseTlogProof(sight.proof)).toMatchObject({ ok: true, value: { checkpoint: sight.note } });
    kept = keptOf(sight);
    story.allowedRequest(requestId(n));
  }
});

test("whatever line was changed, dropped or put in before what was witnessed, it is refused (W1)", async () => {
  const kept = keptOf(await seen(watched(storyOf(4))));
  const { size } = kept.checkpoint;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: size - 1 }),
      fc.constantFrom("change", "drop", "repeat"),
      fc.integer({ min: 0, max: 3 }),
      async (at, how, more) => {
        const story = storyOf(4);
        const line = story.log.lines[at] as string;
        if (how === "change") story.log.lines[at] = line.replace(/"data":\{/, '"data":{"x":1,');
        if (how === "drop") story.log.lines.splice(at, 1);
        // After the newest one it would be one more line, which is no change of what was witnessed.
        if (how === "repeat") story.log.lines.splice(at - 1, 0, line);
        for (let n = 10; n < 10 + more; n += 1) story.allowedRequest(requestId(n));
        const looked = await look(watched(story), kept);
        expect(looked).toMatchObject({ ok: false });
        expect(!looked.ok && ["shorter", "differs"].includes(looked.error.kind)).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

test("a proof that does not prove it is no proof, whatever the log says", async () => {
  const story = storyOf(2);
  const kept = keptOf(await seen(watched(story)));
  story.allowedRequest(requestId(9));
  const lies: Partial<WatchedLog>[] = [
    { consistencyProof: async () => [] },
    { consistencyProof: async () => ["00".repeat(32)] },
    { consistencyProof: async () => ["no hash"] },
  ];
  for (const lie of lies) {
    expect(await look(watched(story, lie), kept)).toMatchObject({ ok: false, error: { kind: "differs" } });
  }
  expect(await look(watched(story), kept)).toMatchObject({ ok: true });
});

test("a checkpoint of another key, or none, is refused, and so is a first look with another pinned key (W2)", async () => {
  const story = storyOf(1);
  const kept = keptOf(await seen(watched(story)));
  const forged = createStory();
  forged.open();
  const others = { ...forged, log: forged.log };
  others.log.rotate(createLogKey());
  const lie = { checkpoint: () => others.log.store.checkpoint() };
  expect(await look(watched(story, lie), kept)).toMatchObject({ ok: false });
  expect(await look(watched(story, { checkpoint: async () => "nothing" }), kept)).toMatchObject({
    ok: false,
    error: { kind: "key" },
  });
  const pinned = "countersign.dev/log/x+00000000+AAAA";
  expect(await look(watched(story), null, { pinned })).toMatchObject({ ok: false, error: { kind: "key" } });
});

test("a key that was rotated is followed, and one that only claims to be is not (W2)", async () => {
  const story = storyOf(1);
  const first = await seen(watched(story));
  const rotation = story.log.rotate(createLogKey());
  story.allowedRequest(requestId(7));
  const after = await seen(watched(story), keptOf(first));
  expect(after.rotatedTo).toEqual([story.log.signer.vkey]);
  expect(after.key).toBe(story.log.signer.vkey);
  // Looking again starts from the new key.
  expect((await seen(watched(story), keptOf(after))).rotatedTo).toEqual([]);
  // Without the entry, or with one that is not in the tree.
  expect(await look(watched(story, { rotations: () => [] }), keptOf(first))).toMatchObject({
    ok: false,
    error: { kind: "key" },
  });
  const other = storyOf(1);
  other.log.rotate(createLogKey());
  const lines: WatchedLog["lines"] = (from) =>
    from === rotation.seq ? other.log.store.lines(from) : story.log.store.lines(from);
  expect(await look(watched(story, { lines }), keptOf(first))).toMatchObject({
    ok: false,
    error: { kind: "key" },
  });
  const inclusionProof: WatchedLog["inclusionProof"] = async (seq, size) =>
    seq === rotation.seq ? [] : story.log.store.inclusionProof(seq, size);
  expect(await look(watched(story, { inclusionProof }), keptOf(first))).toMatchObject({
    ok: false,
    error: { kind: "key" },
  });
});

test("a cosignature is never dated before the one in front of it", async () => {
  const story = storyOf(1);
  const first = await seen(watched(story));
  const again = await look(watched(story), keptOf(first), { seconds: T - 1_000 });
  expect(again).toMatchObject({ ok: true, value: { cosignedAt: T } });
});
