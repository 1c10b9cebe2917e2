import { afterEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { timestamp } from "../../src/base/clock.ts";
import { settlementBytes } from "../../src/execution/settlement.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { readFile, writeFile } from "node:fs/promises";
import { ORIGIN, codeOf, enrol, registered, signWithKey, signWithPasskey } from "../support/passkey-world.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { createSoftPasskey, type SoftPasskey } from "../support/soft-passkey.ts";
import { callTool, decide, makeWorld, ticketOf, type World, type WorldOptions } from "../support/world.ts";

// A passkey is taken away because it was stolen. Does anything that it signed still bring something about, also where
// both happen at the same moment?

let world: World;
afterEach(() => world.close());

const HEAD = "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }";

async function start(options: WorldOptions = {}) {
  const clock = createFakeClock();
  world = await makeWorld({ clock, head: HEAD, ...options });
  world.home.credentials.serveAt(ORIGIN);
  return { clock, home: world.home };
}

const remove = async (
  passkey: SoftPasskey,
  person: string,
  approver: string,
): Promise<() => Promise<void>> => {
  const { credentials } = world.home;
  const statement = await credentials.draft({ action: "remove", person, approver, credential: passkey.id });
  return () => credentials.remove(signWithKey(world, statement), "stolen");
};

test("an invitation that rests on a passkey dies with it (E2)", async () => {
  const { home } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const statement = await home.credentials.draft({ action: "invite", person: "chi", approver: "ben" });
  const code = codeOf(await home.credentials.invite(signWithPasskey(ben, statement)));
  expect(await home.credentials.checkCode(code)).toBe("chi");
  await (
    await remove(ben, "ben", "dee")
  )();
  await expect(home.credentials.checkCode(code)).rejects.toMatchObject({ code: "INVITATION_INVALID" });
  await expect(
    home.credentials.redeem(code, registered(createSoftPasskey()), "thief's"),
  ).rejects.toMatchObject({ code: "INVITATION_INVALID" });
});

test("an invitation dies with the SSH key that signed it, and where policy_change asks for more (E2)", async () => {
  const { home } = await start();
  const invite = async (approver: string): Promise<string> => {
    const statement = await home.credentials.draft({ action: "invite", person: "chi", approver });
    return codeOf(await home.credentials.invite(signWithKey(world, statement)));
  };
  const adopt = async (change: (text: string) => string): Promise<void> => {
    const file = world.settings.policyFile;
    await writeFile(file, change(await readFile(file, "utf8")));
    const statement = await home.adoption.draft("eva");
    const signature = world.keys["eva"]!.sign(adoptionBytes(statement), ADOPTION_NAMESPACE);
    await home.adoption.adopt([
      { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } },
    ]);
  };
  const byDee = await invite("dee");
  await adopt((text) => text.replace(world.keys["dee"]!.fingerprint, `SHA256:${"A".repeat(43)}`));
  await expect(home.credentials.checkCode(byDee)).rejects.toMatchObject({ code: "INVITATION_INVALID" });
  const byBen = await invite("ben");
  expect(await home.credentials.checkCode(byBen)).toBe("chi");
  await adopt((text) => text.replace("quorum: 1, assurance: A2 }\n", "quorum: 1, assurance: A3 }\n"));
  await expect(home.credentials.checkCode(byBen)).rejects.toMatchObject({ code: "INVITATION_INVALID" });
});

test("a passkey removed at the same moment vouches for nobody (E2, L1)", async () => {
  const { home } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const statement = await home.credentials.draft({ action: "invite", person: "chi", approver: "ben" });
  const signed = signWithPasskey(ben, statement);
  const removing = await remove(ben, "ben", "dee");
  const [removed, invited] = await Promise.allSettled([removing(), home.credentials.invite(signed)]);
  expect(removed.status).toBe("fulfilled");
  expect(invited).toMatchObject({ status: "rejected", reason: { code: "SIGNATURE_INVALID" } });
});

test("a passkey removed at the same moment settles nothing (L1)", async () => {
  const { home } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const reply = await callTool(
    home,
    "write_note",
    { book: "log", text: "LOST_REPLY CANNOT_TELL" },
    { holdMs: 5_000 },
  );
  const { request } = reply as { readonly request: RequestId };
  const statement = await home.draftSettlement(request, {
    outcome: "done",
    message: "it ran",
    person: "ben",
  });
  const proof = ben.prove(settlementBytes(statement));
  const removing = await remove(ben, "ben", "dee");
  const [removed, settled] = await Promise.allSettled([removing(), home.settle(statement, proof)]);
  expect(removed.status).toBe("fulfilled");
  expect(settled).toMatchObject({ status: "rejected", reason: { code: "SIGNATURE_INVALID" } });
});

test("a session ends with its passkey, also for a question asked at the same moment (L1)", async () => {
  const { home, clock } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const ticket = ticketOf(await callTool(home, "write_note", { book: "ledger", text: "x" })) as RequestId;
  const proof = {
    kind: "session",
    method: "passkey",
    signed_in_at: timestamp(clock.now()),
    subject: ben.id,
    channel: "console",
  } as const;
  const removing = await remove(ben, "ben", "dee");
  const [, inquired] = await Promise.all([
    removing(),
    home.desk.inquire(ticket, { person: "ben", text: "why now?", proof }),
  ]);
  expect(inquired).toMatchObject({ ok: false, error: { code: "unknown_signer" } });
});

test("a passkey removed while its adoption is written adopts nothing (P6, L1)", async () => {
  const { home } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const file = world.settings.policyFile;
  await writeFile(file, (await readFile(file, "utf8")).replace("the vault needs two people", "the vault"));
  const before = home.adoption.current().revision;
  const statement = await home.adoption.draft("ben");
  const proof = ben.prove(adoptionBytes(statement));
  const removing = await remove(ben, "ben", "dee");
  // The documents of an adoption are on the disk before its entry is: time enough for another entry.
  const { put } = home.store.blobs;
  Object.assign(home.store.blobs, {
    put: async (...args: Parameters<typeof put>) => {
      const refs = await put(...args);
      if (args[0].some(({ tag }) => tag === "policy")) await removing().catch(() => undefined);
      return refs;
    },
  });
  await expect(home.adoption.endorse(statement, proof)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  expect(home.adoption.current().revision).toBe(before);
});

test("what was approved in a session that the passkey signed in goes with it, and so the log says (C2)", async () => {
  const { home, clock } = await start();
  const ben = await enrol(world, home, "ben", ["dee"]);
  const ticket = ticketOf(await callTool(home, "write_note", { book: "safe", text: "x" }, {})) as RequestId;
  const session = {
    kind: "session",
    method: "passkey",
    signed_in_at: timestamp(clock.now()),
    subject: ben.id,
    channel: "console",
  } as const;
  const statement = await home.desk.draft(ticket, {
    decision: "approve",
    person: "ben",
    reason: null,
    log: null,
  });
  expect(await home.desk.decide(statement, session)).toMatchObject({ value: { state: "recorded" } });
  await (
    await remove(ben, "ben", "dee")
  )();
  const [by] = (await home.desk.open(ticket)).quorum.clauses;
  expect(by?.by).toEqual([]);
  expect(await decide(world, home, ticket, "dee")).toMatchObject({ value: { state: "recorded" } });
  expect(await decide(world, home, ticket, "chi")).toMatchObject({ value: { state: "granted" } });
  const report = await verifyLog(home.store.lines(0), { checkpoint: await home.store.checkpoint() });
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
});
