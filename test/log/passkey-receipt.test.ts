import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { CredentialEntries, ConsentEntries, WebauthnProof } from "../../src/consent/entries.ts";
import { statementBytes } from "../../src/consent/statement.ts";
import type { Entry } from "../../src/log/entry.ts";
import { buildReceipt, formatReceipt, type Receipt } from "../../src/log/receipt.ts";
import { verifyLog, verifyReceipt } from "../../src/log/verify.ts";
import { createOrderCheck } from "../../src/log/verify-order.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import {
  decideWith,
  enrol,
  ORIGIN,
  registered,
  signWithKey,
  signWithPasskey,
} from "../support/passkey-world.ts";
import { createSoftPasskey } from "../support/soft-passkey.ts";
import { callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// What a decision by passkey proves to somebody who has the receipt, the log's key, and nothing of ours that runs.

let world: World;
afterEach(() => world.close());
const HOUR = 3_600_000;

async function start(assurance = "A3", quorum = 1) {
  const clock = createFakeClock();
  world = await makeWorld({
    clock,
    head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }",
    rules: `rules:
  - { id: prod, match: { tool: write_note }, verdict: hold, approve: { by: [sre, security], quorum: ${quorum}, assurance: ${assurance}, within: 2d } }
`,
    userVerified: ["dee"],
    passkeys: { coolingMs: HOUR },
  });
  world.home.credentials.serveAt(ORIGIN);
  let asked = 0;
  const ask = async (): Promise<RequestId> =>
    ticketOf(await callTool(world.home, "write_note", { book: "log", text: `${(asked += 1)}` })) as RequestId;
  return { clock, home: world.home, ask };
}

const receiptOf = (request: RequestId, indexed = true): Promise<Receipt> =>
  buildReceipt({
    store: world.home.store,
    requestId: request,
    withBlobs: false,
    adoptions: world.home.adoption.sequence(),
    ...(indexed ? { credentials: world.home.credentials.entriesOf } : {}),
    resolvePolicy(text) {
      const loaded = loadPolicy(new TextDecoder().decode(text), { file: "policy.yaml", tools: null });
      return loaded.ok ? loaded.value.document : null;
    },
  });
const entriesIn = (receipt: Receipt): Entry[] => receipt.entries.map(({ line }) => JSON.parse(line) as Entry);
const check = (receipt: Receipt) => verifyReceipt(formatReceipt(receipt), { trustedKeys: [receipt.log.key] });

describe("the receipt of a decision by passkey", () => {
  test("shows how the passkey came to its person, and verifies; so does the log", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    await enrol(world, home, "chi", ["dee"]);
    const request = await ask();
    await decideWith(home, ben, request, "ben");
    const receipt = await receiptOf(request);
    expect(entriesIn(receipt).map(({ kind }) => kind)).toEqual([
      "log.opened",
      "policy.adopted",
      "credential.invited",
      "credential.enrolled",
      "request.received",
      "request.planned",
      "consent.asked",
      "decision.recorded",
      "consent.settled",
      "grant.minted",
    ]);
    const report = check(receipt);
    expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
    expect(report.summary?.decisions).toMatchObject([
      { person: "ben", assurance: "A3", ownerProved: true, passkey: { credential: ben.id, origin: ORIGIN } },
    ]);
    expect(report.summary?.quorum).toMatchObject([{ by: ["ben"], met: true }]);
    expect(report.summary?.limits.join()).toContain("hardware of passkeys was not attested");
    // Without an index it carries all entries about passkeys, and proves the same.
    expect(check(await receiptOf(request, false)).ok).toBe(true);
    const log = await verifyLog(join(world.settings.dataDir, "log"));
    expect(log.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  });

  test("verifies with plain openssl, given nothing but its entries", async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    await decideWith(home, ben, request, "ben");
    const entries = entriesIn(await receiptOf(request));
    const enrolled = entries.find(({ kind }) => kind === "credential.enrolled")
      ?.data as CredentialEntries["credential.enrolled"];
    const recorded = entries.find(({ kind }) => kind === "decision.recorded")
      ?.data as ConsentEntries["decision.recorded"];
    const proof = recorded.proof as WebauthnProof;
    const client = Buffer.from(proof.client_data, "base64url");
    expect(JSON.parse(client.toString())).toMatchObject({
      type: "webauthn.get",
      challenge: createHash("sha256").update(statementBytes(recorded.statement)).digest("base64url"),
    });
    const dir = mkdtempSync(join(tmpdir(), "countersign-openssl-"));
    try {
      writeFileSync(
        join(dir, "key.pem"),
        `-----BEGIN PUBLIC KEY-----\n${enrolled.public_key}\n-----END PUBLIC KEY-----\n`,
      );
      writeFileSync(join(dir, "signature"), Buffer.from(proof.signature, "base64url"));
      const signed = [
        Buffer.from(proof.authenticator_data, "base64url"),
        createHash("sha256").update(client).digest(),
      ];
      writeFileSync(join(dir, "signed"), Buffer.concat(signed));
      const args = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"];
      expect(execFileSync("openssl", args, { cwd: dir, encoding: "utf8" })).toBe("Verified OK\n");
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test("is accepted by somebody else's verifier, written from the page, and not without the enrolment", async () => {
    const { home, ask } = await start();
    const passkey = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    await decideWith(home, passkey, request, "ben");
    const receipt = await receiptOf(request);
    const python = (given: Receipt): string => {
      const path = join(world.root, "receipt.json");
      writeFileSync(path, formatReceipt(given));
      const script = join(import.meta.dirname, "../vectors/verify_receipt.py");
      const { stdout, stderr } = spawnSync("python3", [script, path, given.log.key], { encoding: "utf8" });
      return (stdout + stderr).trim().split("\n").at(-1) ?? "";
    };
    expect(python(receipt)).toBe(`OK ${request}: granted`);
    const without = {
      ...receipt,
      entries: receipt.entries.filter(({ line }) => !line.includes("credential.enrolled")),
    };
    expect(python(without)).toContain("the passkey was not enrolled");
    expect(check(without).ok).toBe(false);
  });

  test("says of a session's decision that the gateway says so", async () => {
    const { clock, home, ask } = await start("A2");
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    const statement = await home.desk.draft(request, {
      decision: "approve",
      person: "ben",
      reason: null,
      log: null,
    });
    const signed_in_at = timestamp(clock.now());
    await home.desk.decide(statement, {
      kind: "session",
      method: "passkey",
      signed_in_at,
      subject: ben.id,
      channel: "console",
    });
    const report = check(await receiptOf(request));
    expect(report.ok).toBe(true);
    expect(report.summary?.decisions).toMatchObject([
      {
        assurance: "A2",
        ownerProved: false,
        passkey: null,
        session: { method: "passkey", signedInAt: signed_in_at },
      },
    ]);
    expect(report.summary?.limits.join()).toContain("the gateway says");
  });

  test("carries a chain: a passkey that another added, which an invitation enrolled, which a third one signed", async () => {
    const { clock, home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const invitation = await home.credentials.draft({ action: "invite", person: "chi", approver: "ben" });
    const answer = await home.credentials.invite(signWithPasskey(ben, invitation));
    const chi = createSoftPasskey();
    if (answer.state !== "invited") throw new Error("not invited");
    await home.credentials.redeem(answer.code, registered(chi), "phone");
    clock.advance(HOUR);
    const key = createSoftPasskey("EdDSA");
    const about = {
      action: "add",
      person: "chi",
      approver: "chi",
      credential: key.id,
      publicKey: key.publicKey,
    } as const;
    await home.credentials.add(
      registered(key),
      "key",
      signWithPasskey(chi, await home.credentials.draft(about)),
    );
    clock.advance(HOUR);
    const request = await ask();
    expect(await decideWith(home, key, request, "chi")).toMatchObject({ value: { state: "granted" } });
    const receipt = await receiptOf(request);
    expect(entriesIn(receipt).filter(({ kind }) => kind.startsWith("credential."))).toHaveLength(5);
    expect(check(receipt).findings.filter(({ severity }) => severity === "fault")).toEqual([]);
  });
});

describe("entries that break a rule about passkeys", () => {
  /** Judges the receipt's entries again after `change`, as a verifier does whose log was written by a liar. */
  const judged = async (
    change: (entries: Entry[]) => void,
    made: Awaited<ReturnType<typeof story>>,
  ): Promise<readonly string[]> => {
    const entries = structuredClone(made.entries);
    change(entries);
    const { readPolicyPeople } = await import("../../src/log/policy-document.ts");
    const people = readPolicyPeople(world.home.adoption.current().document);
    const order = createOrderCheck({ peopleOf: () => people, rootAt: null });
    return entries.flatMap(({ kind, subject, policy, time, data }) =>
      order
        .step({ kind, subject, policy, at: Date.parse(time), data } as never)
        .problems.map(({ code, message, rule }) => `${code} ${rule ?? "-"}: ${message}`),
    );
  };
  const story = async () => {
    const { home, ask } = await start();
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    await decideWith(home, ben, request, "ben");
    return { entries: entriesIn(await receiptOf(request)), ben };
  };
  const data = <T>(entries: Entry[], kind: string): T =>
    entries.find((entry) => entry.kind === kind)?.data as unknown as T;
  type Mutable<T> = { -readonly [K in keyof T]: T[K] };
  type Enrolled = Mutable<CredentialEntries["credential.enrolled"]>;
  type Recorded = Mutable<ConsentEntries["decision.recorded"]>;

  test("are found, each by its name", async () => {
    const made = await story();
    expect(await judged(() => undefined, made)).toEqual([]);
    const without = (kind: string) => (entries: Entry[]) =>
      void entries.splice(
        entries.findIndex((entry) => entry.kind === kind),
        1,
      );
    expect(await judged(without("credential.invited"), made)).toContainEqual(
      expect.stringMatching(/^credential_unproved P6: nobody invited ben with this code/),
    );
    expect(await judged(without("credential.enrolled"), made)).toEqual([
      expect.stringMatching(/^credential_unproved P6: the passkey of ben was not enrolled/),
      expect.stringMatching(/^grant_without_basis G2/),
    ]);
    const cooling = (entries: Entry[]): void => {
      const enrolled = data<Enrolled>(entries, "credential.enrolled");
      enrolled.counts_from = timestamp(Date.parse(enrolled.counts_from) + HOUR);
    };
    expect(await judged(cooling, made)).toContainEqual(
      "assurance_overstated C3: A3 was recorded, and A2 is shown",
    );
    const early = (entries: Entry[]): void => {
      const enrolled = data<Enrolled>(entries, "credential.enrolled");
      enrolled.counts_from = timestamp(Date.parse(enrolled.counts_from) - HOUR);
    };
    expect(await judged(early, made)).toContainEqual(
      expect.stringMatching(/counts from before it was enrolled/),
    );
    const stolen = (entries: Entry[]): void => {
      data<Enrolled>(entries, "credential.enrolled").person = "chi";
    };
    expect(await judged(stolen, made)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/the code was made for ben/),
        expect.stringMatching(/^wrong_signer -: the passkey belongs to chi, not to ben/),
      ]),
    );
    const swapped = (entries: Entry[]): void => {
      data<Enrolled>(entries, "credential.enrolled").public_key = createSoftPasskey().publicKey;
    };
    expect(await judged(swapped, made)).toContainEqual(expect.stringMatching(/^signature_invalid/));
    const unsigned = (entries: Entry[]): void => {
      (data<Mutable<CredentialEntries["credential.invited"]>>(entries, "credential.invited")
        .statements as unknown[]) = [];
    };
    expect(await judged(unsigned, made)).toContainEqual(
      expect.stringMatching(/^credential_unproved P6: 0 people vouch for inviting ben; 1 have to/),
    );
    const onSave = (entries: Entry[]): void => {
      unsigned(entries);
      data<Mutable<CredentialEntries["credential.invited"]>>(entries, "credential.invited").mode = "on_save";
    };
    expect(await judged(onSave, made)).toContainEqual(expect.stringMatching(/does not adopt on save/));
    const session = (entries: Entry[]): void => {
      data<Recorded>(entries, "decision.recorded").proof = {
        kind: "session",
        method: "passkey",
        signed_in_at: timestamp(0),
        subject: made.ben.id,
        channel: "console",
      };
    };
    expect(await judged(session, made)).toContainEqual(
      "assurance_overstated C3: A3 was recorded, and A1 is shown",
    );
    const twice = (entries: Entry[]): void => {
      const at = entries.findIndex(({ kind }) => kind === "credential.enrolled");
      entries.splice(at, 0, structuredClone(entries[at]) as Entry);
    };
    expect(await judged(twice, made)).toContainEqual(expect.stringMatching(/the code was used before/));
  });

  test("an approval of a passkey removed before the grant is no basis for it", async () => {
    const { home, ask } = await start("A2", 2);
    const ben = await enrol(world, home, "ben", ["dee"]);
    const request = await ask();
    await decideWith(home, ben, request, "ben");
    const statement = await home.credentials.draft({
      action: "remove",
      person: "ben",
      approver: "dee",
      credential: ben.id,
    });
    await home.credentials.remove(signWithKey(world, statement), "stolen");
    await decide(world, home, request, "dee");
    const granted = await decide(world, home, request, "chi");
    expect(granted).toMatchObject({ value: { state: "granted" } });
    const receipt = await receiptOf(request);
    expect(check(receipt).ok).toBe(true);
    const entries = entriesIn(receipt);
    const removed = entries.findIndex(({ kind }) => kind === "credential.removed");
    expect(removed).toBeGreaterThan(0);
    // As if chi had not been needed.
    const chis = entries.findIndex(
      ({ kind, data: of }) => kind === "decision.recorded" && (of as Recorded).person === "chi",
    );
    entries.splice(chis, 1);
    expect(await judged(() => undefined, { entries, ben })).toContainEqual(
      expect.stringMatching(/^grant_without_basis G2: the requirement was not met: 2 .* 1 approved/),
    );
  });
});
