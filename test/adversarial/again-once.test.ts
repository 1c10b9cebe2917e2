import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes } from "../../src/execution/settlement.ts";
import { keysAfter } from "../../src/request/recognition.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

// A person wants it asked for again, the gateway dies, and the agent sends its call again before the wish is found. Does
// it run twice?

let world: World;
afterEach(() => world.close());

test("what the agent asked for again itself is not asked for once more (X2)", async () => {
  world = await makeWorld({ head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }" });
  const { home, notes } = world;
  const args = { book: "log", text: "CANNOT_TELL" };
  // The outcome is unknown the first time only.
  Object.assign(notes, { after: () => Promise.reject(new Error("connection reset")) });
  const first = await callTool(home, "write_note", args, { callId: "1", holdMs: 5_000 });
  expect(first.status).toBe("unknown");
  Object.assign(notes, { after: undefined });
  const { request } = first as { readonly request: RequestId };
  const statement = await home.draftSettlement(request, {
    outcome: "failed",
    again: true,
    message: "nothing is in the book",
    person: "ben",
  });
  const signature = world.keys["ben"]!.sign(settlementBytes(statement), SETTLEMENT_NAMESPACE);
  const { fingerprint } = world.keys["ben"]!;
  const record = home.fold.state.requests.open.get(request)!;
  // As settling writes it, by a process that dies right then.
  await home.store.append({
    expect: [{ subject: request, newest: record.newestSeq }],
    newKeys: [],
    entries: [
      {
        kind: "execution.resolved",
        subject: request,
        policy: home.adoption.current().revision,
        keys: keysAfter(record.keys, "failed", false, Date.now()),
        data: {
          grant: statement.grant,
          outcome: "failed",
          by: "person",
          person: "ben",
          message: statement.message,
          signed: { statement, proof: { kind: "sshsig", signature, fingerprint, channel: "cli" } },
        },
      },
    ],
  });
  const runs = notes.runs.length;
  expect(await callTool(home, "write_note", args, { callId: "2", holdMs: 5_000 })).toMatchObject({
    status: "done",
  });
  expect(notes.runs).toHaveLength(runs + 1);

  const steward = await world.open();
  await steward.startSteward();
  for (let i = 0; i < 3; i += 1) await steward.stewardRound();
  expect(notes.runs).toHaveLength(runs + 1);
});
