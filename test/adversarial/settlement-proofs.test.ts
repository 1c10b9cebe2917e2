import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { Proof } from "../../src/consent/entries.ts";
import type { ExecutionEntries } from "../../src/execution/entries.ts";
import { settlementBytes } from "../../src/execution/settlement.ts";
import type { Entry } from "../../src/log/entry.ts";
import { readPolicyPeople } from "../../src/log/policy-document.ts";
import { buildReceipt, formatReceipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import type { KnownCredential } from "../../src/log/verify-proof.ts";
import { checkSettlement } from "../../src/log/verify-settlement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { enrol, ORIGIN } from "../support/passkey-world.ts";
import type { SoftPasskey } from "../support/soft-passkey.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

// A log says that a person settled an unknown outcome with a passkey, or in a session. Does somebody who has only the
// log, or only the receipt, see where that is not so?

let world: World;
afterEach(() => world.close());

const HEAD = "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }";

async function settled(): Promise<{
  readonly request: RequestId;
  readonly passkey: SoftPasskey;
  readonly entry: Entry<"execution.resolved">;
}> {
  const clock = createFakeClock();
  world = await makeWorld({ clock, head: HEAD });
  world.home.credentials.serveAt(ORIGIN);
  const passkey = await enrol(world, world.home, "ben", ["dee"]);
  const args = { book: "log", text: "LOST_REPLY CANNOT_TELL" };
  const reply = await callTool(world.home, "write_note", args, { holdMs: 5_000 });
  const { request } = reply as { readonly request: RequestId };
  const choice = { outcome: "done", message: "it ran", person: "ben" } as const;
  const statement = await world.home.draftSettlement(request, choice);
  const answer = await world.home.settle(statement, passkey.prove(settlementBytes(statement)));
  expect(answer).toMatchObject({ ok: true });
  const entry = (await world.home.requests.history(request)).at(-1) as Entry<"execution.resolved">;
  return { request, passkey, entry };
}

test("one by passkey verifies in the log, and in a receipt that shows how the passkey came to its person", async () => {
  const { request } = await settled();
  const { store, adoption, credentials } = world.home;
  for (const index of [{}, { credentials: credentials.entriesOf }]) {
    const receipt = await buildReceipt({
      store,
      requestId: request,
      withBlobs: false,
      adoptions: adoption.sequence(),
      resolvePolicy: () => adoption.current().document,
      ...index,
    });
    const inReceipt = verifyReceipt(formatReceipt(receipt), { trustedKeys: [receipt.log.key] });
    expect(inReceipt.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
    // Without the entry that enrolled it, nothing shows whose it is.
    const entries = receipt.entries.filter(({ line }) => !line.includes('"kind":"credential.enrolled"'));
    const without = verifyReceipt(formatReceipt({ ...receipt, entries }), { trustedKeys: [receipt.log.key] });
    expect(without.findings.map(({ code }) => code)).toContain("credential_unproved");
  }
  const inLog = await verifyLog(store.lines(0), { checkpoint: await store.checkpoint() });
  expect(inLog.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
});

test("a forged, copied, removed, stale or borrowed proof is seen", async () => {
  const { request, passkey, entry } = await settled();
  const signed = entry.data.signed!;
  const at = Date.parse(entry.time);
  const known: KnownCredential = {
    person: "ben",
    publicKey: passkey.publicKey,
    algorithm: passkey.algorithm,
    rpId: "localhost",
    countsFrom: at,
    removed: false,
  };
  const codes = (
    change: Partial<ExecutionEntries["execution.resolved"]>,
    credential: Partial<KnownCredential> = {},
  ): readonly string[] =>
    checkSettlement({
      resolved: { ...entry.data, ...change },
      request,
      grant: entry.data.grant,
      asked: null,
      people: readPolicyPeople(world.home.adoption.current().document),
      at,
      credentialOf: (id) => (id === passkey.id ? { ...known, ...credential } : null),
    }).map(({ code }) => code);
  const proven = (proof: Proof) => ({ signed: { ...signed, proof } });
  const session = (minutes: number): Proof => ({
    kind: "session",
    method: "oidc",
    signed_in_at: timestamp(at - minutes * 60_000),
    subject: "https://idp.test ben",
    channel: "console",
  });

  expect(codes({})).toEqual([]);
  expect(codes(proven(session(1)))).toEqual([]);
  const other = { ...signed.statement, issued_at: timestamp(at - 1) };
  expect(codes(proven(passkey.prove(settlementBytes(other))))).toEqual(["signature_invalid"]);
  expect(codes({}, { person: "chi" })).toEqual(["wrong_signer"]);
  expect(codes({}, { removed: true })).toEqual(["wrong_signer"]);
  expect(codes(proven({ ...signed.proof, credential: "other" } as Proof))).toEqual(["credential_unproved"]);
  expect(codes(proven(session(6)))).toEqual(["assurance_overstated"]);
  expect(codes(proven(session(-6)))).toEqual(["assurance_overstated"]);
  expect(codes(proven({ kind: "made_up" } as never))).toEqual(["signature_invalid"]);
});

test("where nobody had been asked, only people of policy_change settle", async () => {
  const { request, entry } = await settled();
  const document = structuredClone(world.home.adoption.current().document) as {
    policy_change: { by: string[] };
  };
  document.policy_change.by = ["security"];
  const problems = checkSettlement({
    resolved: entry.data,
    request,
    grant: null,
    asked: null,
    people: readPolicyPeople(document as never),
    at: Date.parse(entry.time),
    credentialOf: () => null,
  });
  expect(problems.map(({ code }) => code)).toContain("not_eligible");
});
