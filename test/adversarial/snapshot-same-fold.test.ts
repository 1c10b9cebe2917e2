import { readFile, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes } from "../../src/execution/settlement.ts";
import { createHomeFold, type HomeFold } from "../../src/gate/state.ts";
import { decodeEntry } from "../../src/log/encode.ts";
import type { Entry } from "../../src/log/entry.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { decideWith, enrol, invite, ORIGIN, signWithKey } from "../support/passkey-world.ts";
import { createSoftPasskey } from "../support/soft-passkey.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// The gate acts on what a snapshot restored. Is that ever another state than the log's, wherever the snapshot was taken,
// and do the entries after it mean the same to both?

let world: World;
afterEach(() => world.close());

const MINUTE = 60_000;
const HEAD = "policy_change: { by: [security, sre], quorum: 2, assurance: A2 }";
const RULES = `rules:
  - id: demo-is-free
    match: { tool: write_note, environment: demo }
    verdict: allow
  - id: prod-asks-on
    match: { tool: write_note, environment: prod }
    verdict: hold
    approve: { by: [sre], quorum: 2, assurance: A2, within: 2h, remind: 4m, escalate: [{ after: 10m, to: [security] }] }
  - id: doors-are-free
    match: { tool: open_door }
    verdict: allow
`;

/** A log in which as much as possible has happened, and some of it is not over. */
async function eventful(): Promise<readonly Entry[]> {
  const clock = createFakeClock();
  world = await makeWorld({ clock, head: HEAD, rules: RULES, passkeys: { coolingMs: 0 } });
  const { home } = world;
  home.credentials.serveAt(ORIGIN);
  const steward = await world.open();
  await steward.startSteward();
  const rounds = async (): Promise<void> => {
    for (let i = 0; i < 2; i += 1) await steward.stewardRound();
    await home.store.catchUp();
  };
  const hold = async (text: string): Promise<RequestId> =>
    ticketOf(await callTool(home, "write_note", { book: "ledger", text }, { callId: text })) as RequestId;

  const ben = await enrol(world, home, "ben", ["dee", "eva"]);
  const dee = await enrol(world, home, "dee", ["ben", "eva"], createSoftPasskey("EdDSA"));
  await invite(world, home, "chi", ["dee", "eva"]);
  await invite(world, home, "eva", ["chi"]);

  const asked = await hold("asked");
  const account = { kind: "account", account: "ben@test", channel: "cli" } as const;
  const inquiry = await home.desk.inquire(asked, { person: "ben", text: "why now?", proof: account });
  await home.desk.inquire(asked, { person: "chi", text: "and why there?", proof: account });
  if (!inquiry.ok) throw new Error(inquiry.error.code);
  await home.gate.answer(asked, CALLER, { inquiry: inquiry.value.inquiry, text: "it is due" });
  await decideWith(home, ben, asked, "ben");
  const denied = await hold("denied");
  await decide(world, home, denied, "ben", "deny");
  const over = await hold("taken back");
  await decide(world, home, over, "chi");
  const { decisions } = await home.desk.open(over);
  expect(decisions).toHaveLength(1);
  await decide(world, home, over, "chi", "take_back");

  clock.advance(5 * MINUTE);
  await rounds();
  clock.advance(6 * MINUTE);
  await rounds();
  await decideWith(home, dee, asked, "dee");
  await home.gate.wait(asked, CALLER, { signal: new AbortController().signal, holdMs: 5_000 });

  await callTool(home, "open_door", { door: "north", ms: 60_000 }, { holdMs: 5_000 });
  const lost = await callTool(
    home,
    "write_note",
    { book: "log", text: "LOST_REPLY CANNOT_TELL" },
    { holdMs: 5_000 },
  );
  const { request } = lost as { readonly request: RequestId };
  const statement = await home.draftSettlement(request, {
    outcome: "failed",
    again: true,
    message: "not there",
    person: "ben",
  });
  const signature = world.keys["ben"]!.sign(settlementBytes(statement), SETTLEMENT_NAMESPACE);
  await home.settle(statement, { kind: "sshsig", signature, fingerprint: "", channel: "cli" });
  await home.records.erase(denied, "asked to", "ben");
  await home.rotateLogKey();

  const open = await hold("open");
  await decideWith(home, ben, open, "ben");
  const removal = await home.credentials.draft({
    action: "remove",
    person: "ben",
    approver: "dee",
    credential: ben.id,
  });
  await home.credentials.remove(signWithKey(world, removal), "stolen");
  const file = world.settings.policyFile;
  await writeFile(file, (await readFile(file, "utf8")).replace("remind: 4m", "remind: 5m"));
  await rounds();
  const adoption = await home.adoption.draft("ben");
  const signed = world.keys["ben"]!.sign(adoptionBytes(adoption), ADOPTION_NAMESPACE);
  await home.adoption.endorse(adoption, {
    kind: "sshsig",
    signature: signed,
    fingerprint: "",
    channel: "cli",
  });
  const entries: Entry[] = [];
  for await (const { seq, bytes } of home.store.lines(0)) {
    const decoded = decodeEntry(new TextDecoder().decode(bytes), seq);
    if (!decoded.ok) throw new Error(decoded.error);
    entries.push(decoded.value);
  }
  return entries;
}

/**
 * The whole state, but for what snapshots leave out by intent: `endings` is a cache of the log, and `packer` and `commons`
 * of what packed values have in common. What a packed value says is compared, and not how it is packed.
 */
const stateOf = ({ state, size, newestTime }: HomeFold) => {
  const { endings: _endings, packer: _packer, ...requests } = state.requests;
  const { commons: _commons, ...consents } = state.consents;
  return structuredClone({ ...state, requests, consents, size, newestTime });
};

test("wherever a snapshot was taken, restoring it and reading on gives the log's own state (N1)", async () => {
  const entries = await eventful();
  const kinds = new Set(entries.map(({ kind }) => kind));
  for (const kind of [
    "credential.endorsed",
    "credential.invited",
    "credential.enrolled",
    "credential.removed",
    "consent.escalated",
    "consent.reminded",
    "inquiry.made",
    "inquiry.answered",
    "policy.endorsed",
    "execution.resolved",
    "lease.opened",
    "blob.erased",
    "log.key_rotated",
  ] as const)
    expect(kinds, kind).toContain(kind);

  const states: ReturnType<typeof stateOf>[] = [];
  const snapshots: string[] = [];
  const whole = createHomeFold();
  snapshots.push(JSON.stringify(whole.snapshot()));
  states.push(stateOf(whole));
  for (const entry of entries) {
    whole.apply(structuredClone(entry));
    snapshots.push(JSON.stringify(whole.snapshot()));
    states.push(stateOf(whole));
  }
  fc.assert(
    fc.property(fc.nat(entries.length), fc.nat(entries.length), (a, b) => {
      const [from, to] = a < b ? [a, b] : [b, a];
      const restored = createHomeFold();
      restored.restore(JSON.parse(snapshots[from]!));
      expect(stateOf(restored)).toEqual(states[from]);
      for (const entry of entries.slice(from, to)) restored.apply(structuredClone(entry));
      expect(stateOf(restored)).toEqual(states[to]);
      expect(JSON.stringify(restored.snapshot())).toBe(snapshots[to]);
    }),
    { numRuns: 300 },
  );
});
