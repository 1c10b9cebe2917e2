import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import type { OpenedHome } from "../../src/compose.ts";
import type { ReplayedVerdict } from "../../src/gate/replay.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { replayVerdict } from "../../src/policy/replay.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import { masksIn } from "../../src/policy/replay.ts";
import { tamperDocument } from "../support/stored-document.ts";
import { CALLER, callTool, decide, makeWorld, type World, type WorldOptions } from "../support/world.ts";

// Does the record hold what the verdict rested on, and does replay notice when it was touched?

let world: World;
const start = async (options: WorldOptions = {}): Promise<World> => (world = await makeWorld(options));
afterEach(() => world.close());

async function all(home: OpenedHome): Promise<readonly ReplayedVerdict[]> {
  const verdicts: ReplayedVerdict[] = [];
  for await (const one of home.replay.ofLog()) verdicts.push(one);
  return verdicts;
}
const idOf = (reply: Reply): RequestId => {
  if (reply.status === "pending") return reply.ticket as RequestId;
  if (!("request" in reply) || reply.request === null) throw new Error(JSON.stringify(reply));
  return reply.request;
};
const write = async (
  text: string,
  more: Parameters<typeof callTool>[3] = {},
  book = "log",
): Promise<RequestId> =>
  idOf(
    await callTool(
      world.home,
      "write_note",
      { book, text, justification: "asked" },
      { holdMs: 5_000, ...more },
    ),
  );

/** Every kind of verdict: allowed, held and approved, denied by a person, denied in either pass, held for nobody. */
async function live(): Promise<void> {
  const { home } = world;
  const nobody = { ...CALLER, agent: null };
  await write("hello", { reasoning: { steps: ["think"] } });
  await callTool(home, "read_note", { book: "log" }, { holdMs: 5_000 });
  await callTool(home, "read_note", { book: "log" }, { caller: nobody, holdMs: 5_000 });
  await write("forbidden");
  await callTool(home, "no_such_tool", {});
  await write("PREVIEW_FAILS");
  const one = await write("1", { holdMs: 0 }, "ledger");
  await decide(world, home, one, "ben");
  const two = await write("2", { holdMs: 0 }, "ledger");
  await decide(world, home, two, "chi", "deny");
  await write("3", { holdMs: 0 }, "safe");
}

test("every verdict of a life is derived again, sealed inputs or not, by this process or the next", async () => {
  await start();
  await live();
  const first = await all(world.home);
  expect(first.filter(({ outcome }) => outcome !== "equal")).toEqual([]);
  expect(first.map(({ verdict }) => verdict).toSorted()).toEqual([
    "allow",
    "allow",
    "allow",
    "deny",
    "hold",
    "hold",
    "hold",
  ]);
  // Of an allowed read nothing is sealed.
  expect(first.filter(({ inputs }) => inputs === "masked")).toHaveLength(2);
  expect(first.filter(({ inputs }) => inputs === "sealed")).toHaveLength(5);
  for (const { request } of first) await world.home.store.blobs.eraseSealed(request);
  const next = await world.open();
  const again = await all(next);
  expect(again).toEqual(first.map((one) => ({ ...one, inputs: "masked" })));
  for (const one of again) expect(await next.replay.ofRequest(one.request)).toEqual([one]);
});

test("each verdict is derived by the policy of then, whatever was adopted since (P6)", async () => {
  await start({ head: "adopt: on_save" });
  await write("one");
  const file = world.settings.policyFile;
  const strict = readFileSync(file, "utf8").replace(
    "match: { tool: write_note, environment: demo }\n    verdict: allow",
    "match: { tool: write_note, environment: demo }\n    verdict: deny",
  );
  writeFileSync(file, strict);
  await world.home.adoption.adopt([]);
  await write("two");
  expect((await all(world.home)).map(({ verdict, outcome }) => [verdict, outcome])).toEqual([
    ["allow", "equal"],
    ["deny", "equal"],
  ]);
});

test("a verdict of somebody whom nobody could be asked about is derived again (C1)", async () => {
  await start({ rules: "rules:\n  - { id: ask, match: { tool: read_note }, verdict: hold }\n" });
  const caller = { ...CALLER, agent: "ghost" };
  await callTool(world.home, "read_note", { book: "log" }, { caller });
  expect(await all(world.home)).toMatchObject([{ verdict: "hold", outcome: "equal" }]);
});

test("a deny that rests on the isolation of then is partial where the record does not say it", async () => {
  await start({
    rules:
      "rules:\n  - { id: alone, match: { tool: write_note }, when: 'gate.isolation == \"none\"', verdict: deny }\n",
  });
  await write("one");
  expect(await all(world.home)).toMatchObject([
    { outcome: "partial", notes: [expect.stringContaining("isolation")] },
  ]);
});

test("where a mask hid an input the verdict is partial, and says how many there are", async () => {
  await start();
  const id = await write(`use ghp_${"a1B2".repeat(9)}`);
  expect(await all(world.home)).toMatchObject([{ outcome: "equal", inputs: "sealed" }]);
  await world.home.store.blobs.eraseSealed(id);
  expect(await all(world.home)).toMatchObject([
    {
      outcome: "partial",
      inputs: "masked",
      notes: [expect.stringMatching(/^1 mask stands .* the same verdict$/)],
    },
  ]);
});

test("where documents were erased the verdict is partial and says when; where they are lost it differs", async () => {
  await start();
  const [erased, lost] = [await write("one"), await write("two")];
  await world.home.records.erase(erased, "asked for", "ana");
  await world.home.store.blobs.eraseSealed(lost);
  const [planned] = (await world.home.requests.history(lost)).flatMap((entry) =>
    entry.kind === "request.planned" ? [entry.data] : [],
  );
  await world.home.store.blobs.erase(planned!.masked_inputs);
  const verdicts = await all(world.home);
  expect(verdicts).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        request: erased,
        outcome: "partial",
        notes: [expect.stringMatching(/^the policy input was erased on \d{4}-/)],
      }),
      expect.objectContaining({
        request: lost,
        outcome: "differs",
        notes: ["the policy input is gone, and no entry says that it was erased"],
      }),
    ]),
  );
  for (const one of verdicts) expect(await world.home.replay.ofRequest(one.request)).toEqual([one]);
});

const tamper = (ref: BlobRef, change: (text: string) => string): void =>
  tamperDocument(world.settings.dataDir, ref, change);

test("a policy text or an input that was touched is found, wherever it lies", async () => {
  await start();
  const id = await write("hello");
  await world.home.store.blobs.eraseSealed(id);
  const entries = await world.home.store.newestEntries(100);
  const adopted = entries.find((entry) => entry.kind === "policy.adopted");
  const planned = entries.find((entry) => entry.kind === "request.planned");
  if (adopted?.kind !== "policy.adopted" || planned?.kind !== "request.planned")
    throw new Error("no such entry");
  tamper(planned.data.masked_inputs, (text) => text.replace("demo", "prod"));
  expect(await all(world.home)).toMatchObject([
    { outcome: "differs", notes: ["the policy input is not what was recorded"] },
  ]);
  tamper(planned.data.masked_inputs, (text) => text.replace("prod", "demo"));
  tamper(adopted.data.text, (text) => text.replace("verdict: deny", "verdict: hold"));
  const next = await world.open().catch(() => world.home);
  expect(await all(next)).toMatchObject([
    { outcome: "differs", notes: [expect.stringMatching(/^the text of policy sha256:\w+ is changed$/)] },
  ]);
});

test("a verdict that was recorded otherwise than the policy gives it is named part by part", async () => {
  await start();
  const id = await write("1", { holdMs: 0 }, "ledger");
  const planned = (await world.home.requests.history(id)).find((entry) => entry.kind === "request.planned");
  if (planned?.kind !== "request.planned") throw new Error("not planned");
  const input = JSON.parse(
    Buffer.from(await world.home.store.blobs.get("inputs", planned.data.masked_inputs)).toString(),
  ) as never;
  const policy = world.home.adoption.current();
  const { verdict, rules, because, requirement, requirement_digest: requirementDigest } = planned.data;
  const recorded = { verdict, rules, because, requirement, requirementDigest };
  expect(replayVerdict(policy, input, recorded)).toEqual([]);
  for (const [change, what] of [
    [{ verdict: "allow" }, "verdict"],
    [{ rules: [] }, "rules"],
    [{ because: ["another"] }, "because"],
    [{ requirement: { ...requirement!, withinMs: 1 } }, "requirement"],
    [{ requirementDigest: `sha256:${"0".repeat(64)}` }, "requirement digest"],
  ] as const) {
    const differences = replayVerdict(policy, input, { ...recorded, ...change } as never);
    expect(differences).toEqual([expect.stringMatching(new RegExp(`^${what}: recorded .*, now `))]);
  }
});

test("only what masking writes counts as a mask", () => {
  expect(masksIn({ a: "[masked:jwt:12ab] and [masked:field:0000]" })).toBe(2);
  expect(masksIn({ a: "[masked]", b: "masked:jwt:12ab" })).toBe(0);
});

test("a long log is read once, and says how far it is", async () => {
  await start();
  await live();
  const heard: (readonly [number, number])[] = [];
  let verdicts = 0;
  for await (const one of world.home.replay.ofLog((...said) => heard.push(said)))
    verdicts += one.seq > 0 ? 1 : 0;
  const { size } = world.home.store.head();
  expect(verdicts).toBe(7);
  expect(heard).toEqual([
    [0, size],
    [size, size],
  ]);
});
