import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { CredentialEvent } from "../../src/consent/credential-desk.ts";
import type { CredentialStatement } from "../../src/consent/credential-statement.ts";
import { credentialsReducer } from "../../src/consent/credentials.ts";
import {
  formatInvitationCode,
  newInvitationCode,
  parseInvitationCode,
} from "../../src/consent/invitation-code.ts";
import { VIRTUAL_AUTHENTICATOR } from "../../src/config/settings.ts";
import type { Entry } from "../../src/log/entry.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import {
  ORIGIN,
  codeOf,
  enrol,
  invite,
  registered,
  signWithKey,
  signWithPasskey,
} from "../support/passkey-world.ts";
import { createSoftPasskey } from "../support/soft-passkey.ts";
import { makeWorld, type World, type WorldOptions } from "../support/world.ts";

let world: World;
afterEach(() => world.close());

const HOUR = 3_600_000;
const clock = () => createFakeClock();

async function start(options: WorldOptions = {}) {
  const at = clock();
  world = await makeWorld({ clock: at, ...options });
  world.home.credentials.serveAt(ORIGIN);
  return { clock: at, home: world.home, desk: world.home.credentials };
}

const ONE = { head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }" };
const refused = (message: RegExp) => ({
  code: "CREDENTIAL_REFUSED",
  message: expect.stringMatching(message) as string,
});
const INVALID = { code: "INVITATION_INVALID" };

async function entriesOf(kinds: string): Promise<Entry[]> {
  const found: Entry[] = [];
  for await (const { bytes } of world.home.store.lines(0)) {
    const entry = JSON.parse(new TextDecoder().decode(bytes)) as Entry;
    if (entry.kind.startsWith(kinds)) found.push(entry);
  }
  return found;
}

describe("an invitation", () => {
  test("needs as many people as policy_change says, and their signatures stand in its entry (E1, P6)", async () => {
    const { home, desk } = await start();
    const first = await invite(world, home, "chi", ["dee"]);
    expect(first).toEqual({ state: "endorsed", have: 1, need: 2 });
    expect(desk.people().find(({ person }) => person === "chi")).toMatchObject({
      invitedUntil: null,
      endorsements: 1,
    });
    const second = await invite(world, home, "chi", ["ben"]);
    expect(second).toMatchObject({ state: "invited", person: "chi" });
    const [endorsed, invited] = await entriesOf("credential.");
    expect(endorsed?.kind).toBe("credential.endorsed");
    expect(invited).toMatchObject({
      kind: "credential.invited",
      subject: "person:chi",
      data: {
        mode: "signed",
        statements: [{ statement: { approver: "dee" } }, { statement: { approver: "ben" } }],
      },
    });
    expect(JSON.stringify(invited)).not.toContain(codeOf(second).slice(4));
  });

  test("is not brought about by one person who signs twice", async () => {
    const { home } = await start();
    await invite(world, home, "chi", ["dee"]);
    await expect(invite(world, home, "chi", ["dee"])).rejects.toMatchObject(
      refused(/signed this already; 1 more/),
    );
  });

  test("counts nobody who was disabled between two signatures", async () => {
    const { home } = await start();
    await invite(world, home, "chi", ["dee"]);
    await disable(world, "dee", ["ben", "eva"]);
    expect(await invite(world, home, "chi", ["ben"])).toMatchObject({ state: "endorsed", have: 1, need: 2 });
    expect(await invite(world, home, "chi", ["eva"])).toMatchObject({ state: "invited" });
  });

  test("is for people of the running policy who are enabled", async () => {
    const { home } = await start(ONE);
    await expect(invite(world, home, "mallory", ["dee"])).rejects.toMatchObject(
      refused(/no person "mallory"/),
    );
  });

  test("is not made with a session, nor with less than policy_change demands (E1)", async () => {
    const { home, desk } = await start({
      head: "policy_change: { by: [security], quorum: 1, assurance: A3 }",
      userVerified: ["eva"],
    });
    await expect(invite(world, home, "chi", ["dee"])).rejects.toMatchObject(refused(/this shows A2$/));
    await expect(invite(world, home, "chi", ["ben"])).rejects.toMatchObject(refused(/\[security\]/));
    const statement = await desk.draft({ action: "invite", person: "chi", approver: "dee" });
    const proof = {
      kind: "session",
      method: "oidc",
      signed_in_at: statement.issued_at,
      subject: "x",
      channel: "console",
    } as const;
    await expect(desk.invite({ statement, proof })).rejects.toMatchObject(refused(/was not signed/));
  });

  test("statement that is altered, foreign, stale, used, or made up is refused", async () => {
    const { clock: at, desk } = await start(ONE);
    const drafted = await desk.draft({ action: "invite", person: "chi", approver: "dee" });
    const given = (change: Partial<CredentialStatement>) =>
      desk.invite(signWithKey(world, { ...drafted, ...change }));
    await expect(given({ person: "eva" })).rejects.toMatchObject(refused(/not drafted by this gateway/));
    await expect(given({ nonce: "0".repeat(64) })).rejects.toMatchObject(
      refused(/not drafted by this gateway/),
    );
    await expect(given({ log: "log_other" })).rejects.toMatchObject(refused(/another log/));
    await expect(given({ action: "remove" })).rejects.toMatchObject(refused(/not an invitation/));
    await expect(given({ issued_at: timestamp(at.now() + HOUR) })).rejects.toMatchObject(
      refused(/in the future/),
    );
    await expect(given({ issued_at: timestamp(at.now() - 25 * HOUR) })).rejects.toMatchObject(
      refused(/too old/),
    );
    const { statement } = signWithKey(world, drafted);
    const byBen = signWithKey(world, { ...drafted, approver: "ben" });
    await expect(desk.invite({ ...byBen, statement })).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
    await given({});
    await expect(given({})).rejects.toMatchObject(refused(/used before/));
  });

  test("by on_save needs nobody, and nothing else lets one through unsigned", async () => {
    const { desk } = await start();
    await expect(desk.inviteOnSave("chi")).rejects.toMatchObject(
      refused(/signature of 2 of \[security, sre\] with A2/),
    );
    await world.close();
    const onSave = await start({ head: "adopt: on_save" });
    expect(await onSave.desk.inviteOnSave("chi")).toMatchObject({ state: "invited" });
    const statement = await onSave.desk.draft({ action: "invite", person: "ben", approver: "dee" });
    await expect(onSave.desk.invite(signWithKey(world, statement))).rejects.toMatchObject(
      refused(/names nobody under policy_change/),
    );
  });
});

describe("a code", () => {
  test("is redeemed once, also by two processes at the same moment (E2)", async () => {
    const { home, desk } = await start(ONE);
    const other = await world.open({ clock: clock() });
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    expect(await other.credentials.checkCode(code)).toBe("chi");
    const tries = await Promise.allSettled(
      [desk, other.credentials, desk, other.credentials].map((one) =>
        one.redeem(code, registered(createSoftPasskey()), "phone"),
      ),
    );
    expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(
      tries
        .filter(({ status }) => status === "rejected")
        .map((one) => (one as PromiseRejectedResult).reason as unknown),
    ).toEqual(Array.from({ length: 3 }, () => expect.objectContaining(INVALID) as unknown));
    expect(await entriesOf("credential.enrolled")).toHaveLength(1);
  });

  test("ends with its time, with a newer one, and with whoever vouched for it (E2)", async () => {
    const { clock: at, home, desk } = await start();
    const first = codeOf(await invite(world, home, "chi", ["dee", "ben"]));
    const second = codeOf(await invite(world, home, "chi", ["dee", "ben"]));
    await expect(desk.checkCode(first)).rejects.toMatchObject(INVALID);
    expect(await desk.checkCode(second)).toBe("chi");
    await disable(world, "dee", ["ben", "eva"]);
    await expect(desk.checkCode(second)).rejects.toMatchObject(INVALID);
    const third = codeOf(await invite(world, home, "chi", ["eva", "ben"]));
    at.advance(24 * HOUR);
    await expect(desk.redeem(third, registered(createSoftPasskey()), "late")).rejects.toMatchObject(INVALID);
  });

  test("is not spoilt by somebody who knows only whose it is", async () => {
    const { home, desk } = await start(ONE);
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    for (let i = 0; i < 50; i += 1) {
      const wrong = formatInvitationCode(newInvitationCode("chi"));
      await expect(desk.checkCode(wrong)).rejects.toMatchObject(INVALID);
    }
    expect(await desk.checkCode(code)).toBe("chi");
  });

  test("dies after a few wrong tries that begin like it, and a restart doesn't revive it", async () => {
    const { home, desk } = await start(ONE);
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    for (let i = 0; i < 5; i += 1) {
      const other = formatInvitationCode(newInvitationCode("chi"));
      const wrong = `${code.slice(0, "chi.XXXX".length)}${other.slice("chi.XXXX".length)}`;
      await expect(desk.checkCode(wrong)).rejects.toMatchObject(INVALID);
    }
    await expect(desk.checkCode(code)).rejects.toMatchObject(INVALID);
    const restarted = await world.open();
    await expect(restarted.credentials.checkCode(code)).rejects.toMatchObject(INVALID);
  });

  test("of one person says nothing about another's", async () => {
    const { home, desk } = await start(ONE);
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    await expect(desk.checkCode(code.replace("chi.", "ben."))).rejects.toMatchObject(INVALID);
    await expect(desk.checkCode("")).rejects.toMatchObject(INVALID);
    expect(await desk.checkCode(code)).toBe("chi");
  });

  test("reads as people type it", () => {
    fc.assert(
      fc.property(fc.constantFrom("ana", "a.b", "x@y.z", "0-1"), fc.boolean(), (person, lower) => {
        const code = newInvitationCode(person);
        const shown = formatInvitationCode(code);
        const typed = lower
          ? ` ${person}.${shown
              .slice(person.length + 1)
              .toLowerCase()
              .replaceAll("-", " ")} `
          : shown;
        expect(parseInvitationCode(typed)).toEqual(code);
      }),
    );
    expect(parseInvitationCode("chi.0000-0000-0000-0000")).toBeNull();
  });

  test("is not usable again after the passkey that it enrolled was removed", async () => {
    const { home, desk } = await start(ONE);
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    const passkey = createSoftPasskey();
    await desk.redeem(code, registered(passkey), "phone");
    const statement = await desk.draft({
      action: "remove",
      person: "chi",
      approver: "chi",
      credential: passkey.id,
    });
    await desk.remove(signWithKey(world, statement), "lost");
    await expect(desk.redeem(code, registered(createSoftPasskey()), "phone")).rejects.toMatchObject(INVALID);
    const again = codeOf(await invite(world, home, "chi", ["dee"]));
    await expect(desk.redeem(again, registered(passkey), "phone")).rejects.toMatchObject(
      refused(/stays removed/),
    );
  });
});

describe("a new passkey", () => {
  test("cools before it counts, but for the very first of a log (E4)", async () => {
    const { clock: at, home, desk } = await start(ONE);
    const first = await enrol(world, home, "chi", ["dee"]);
    const second = await enrol(world, home, "ben", ["dee"]);
    expect(desk.find(first.id)?.countsFrom).toBe(at.now());
    expect(desk.find(second.id)?.countsFrom).toBe(at.now() + 24 * HOUR);
    expect(desk.strongest("chi", at.now())).toBe("A3");
    expect(desk.strongest("ben", at.now())).toBe("A2");
    expect(desk.strongest("ben", at.now() + 24 * HOUR)).toBe("A3");
  });

  test("is the first for one of two who enrol at the same moment, not for both (E4)", async () => {
    const { home, desk, clock: at } = await start(ONE);
    const other = await world.open({ clock: at });
    const codes = [
      codeOf(await invite(world, home, "chi", ["dee"])),
      codeOf(await invite(world, home, "ben", ["dee"])),
    ];
    const [a, b] = await Promise.all([
      desk.redeem(codes[0] ?? "", registered(createSoftPasskey()), "a"),
      other.credentials.redeem(codes[1] ?? "", registered(createSoftPasskey()), "b"),
    ]);
    expect([a.countsFrom, b.countsFrom].filter((from) => from === at.now())).toHaveLength(1);
  });

  test("of a denied model, another relying party, an odd key or without verification is refused", async () => {
    const { home, desk } = await start(ONE);
    const code = codeOf(await invite(world, home, "chi", ["dee"]));
    const passkey = createSoftPasskey();
    const given = (more: Parameters<typeof registered>[1]) =>
      desk.redeem(code, registered(passkey, more), "phone");
    await expect(given({ aaguid: VIRTUAL_AUTHENTICATOR })).rejects.toMatchObject(
      refused(/may not be enrolled/),
    );
    await expect(given({ rpId: "example.com" })).rejects.toMatchObject(refused(/belongs to example.com/));
    await expect(given({ algorithm: -257 })).rejects.toMatchObject(refused(/ES256, Ed25519 or RS256/));
    await expect(given({ userVerified: false })).rejects.toMatchObject(refused(/did not verify who used it/));
    // None of these used the code up.
    expect(await desk.checkCode(code)).toBe("chi");
    await given({});
    expect(desk.find(passkey.id)).toMatchObject({ person: "chi", label: "phone" });
  });

  test("is added with one that counts, and not with a software key, a session, or one that cools (E3)", async () => {
    const { clock: at, home, desk } = await start(ONE);
    await enrol(world, home, "ben", ["dee"]);
    const old = await enrol(world, home, "chi", ["dee"]);
    const fresh = createSoftPasskey();
    const about = {
      action: "add",
      person: "chi",
      approver: "chi",
      credential: fresh.id,
      publicKey: fresh.publicKey,
    } as const;
    const statement = await desk.draft(about);
    await expect(desk.add(registered(fresh), "key", signWithKey(world, statement))).rejects.toMatchObject(
      refused(/this shows A2/),
    );
    await expect(desk.add(registered(fresh), "key", signWithPasskey(old, statement))).rejects.toMatchObject(
      refused(/this shows A2/),
    );
    at.advance(24 * HOUR);
    const signed = signWithPasskey(old, await desk.draft(about));
    const swapped = createSoftPasskey();
    await expect(desk.add(registered(swapped), "key", signed)).rejects.toMatchObject(
      refused(/another passkey/),
    );
    const added = await desk.add(registered(fresh), "key", signed);
    expect(added).toMatchObject({ person: "chi", countsFrom: at.now() + 24 * HOUR });
    await expect(desk.add(registered(fresh), "key", signed)).rejects.toMatchObject(
      refused(/used before|already/),
    );
  });

  test("can't be added to somebody else", async () => {
    const { clock: at, home, desk } = await start(ONE);
    const chi = await enrol(world, home, "chi", ["dee"]);
    at.advance(24 * HOUR);
    const fresh = createSoftPasskey();
    const about = { action: "add", person: "ben", credential: fresh.id, publicKey: fresh.publicKey } as const;
    const asChi = signWithPasskey(chi, await desk.draft({ ...about, approver: "chi" }));
    await expect(desk.add(registered(fresh), "key", asChi)).rejects.toMatchObject(refused(/another passkey/));
    const asBen = signWithPasskey(chi, await desk.draft({ ...about, approver: "ben" }));
    await expect(desk.add(registered(fresh), "key", asBen)).rejects.toMatchObject(refused(/was not signed/));
  });
});

describe("removing", () => {
  test("takes any proof of one's own, or one signature of policy_change, and nothing else (E5)", async () => {
    const { home, desk } = await start({
      head: "policy_change: { by: [security], quorum: 1, assurance: A2 }",
    });
    const passkey = await enrol(world, home, "chi", ["dee"]);
    const about = { action: "remove", person: "chi", credential: passkey.id } as const;
    const byBen = signWithKey(world, await desk.draft({ ...about, approver: "ben" }));
    await expect(desk.remove(byBen, "x")).rejects.toMatchObject(
      refused(/only "chi", or a person of policy_change/),
    );
    const byDee = await desk.draft({ ...about, approver: "dee" });
    await expect(desk.removeOnSave(passkey.id, "x")).rejects.toMatchObject(refused(/signature of 1/));
    await desk.remove(signWithKey(world, byDee), "lost phone");
    expect(desk.find(passkey.id)).toBeNull();
    await expect(desk.remove(signWithKey(world, byDee), "again")).rejects.toMatchObject(
      refused(/no such passkey/),
    );
    expect((await entriesOf("credential.removed"))[0]).toMatchObject({
      data: { credential: passkey.id, person: "chi", why: "lost phone" },
    });
  });

  test("with a fresh session of one's own is enough, with an old one is not (E5)", async () => {
    const { clock: at, home, desk } = await start(ONE);
    const passkey = await enrol(world, home, "chi", ["dee"]);
    const other = await enrol(world, home, "ben", ["dee"]);
    const session = {
      kind: "session",
      method: "passkey",
      signed_in_at: timestamp(at.now()),
      subject: passkey.id,
      channel: "console",
    } as const;
    const others = await desk.draft({
      action: "remove",
      person: "ben",
      approver: "chi",
      credential: other.id,
    });
    await expect(desk.remove({ statement: others, proof: session }, "x")).rejects.toMatchObject(
      refused(/only "ben"/),
    );
    at.advance(6 * 60_000);
    const statement = await desk.draft({
      action: "remove",
      person: "chi",
      approver: "chi",
      credential: passkey.id,
    });
    await expect(desk.remove({ statement, proof: session }, "x")).rejects.toMatchObject(
      refused(/sign-in is too old/),
    );
    const fresh = { ...session, signed_in_at: timestamp(at.now()) };
    await desk.remove({ statement, proof: fresh }, "old phone");
    expect(desk.ofPerson("chi")).toEqual([]);
  });
});

test("every change is told once it is durable, also to other processes (E6)", async () => {
  const { home, desk } = await start(ONE);
  const other = await world.open();
  const [here, there]: CredentialEvent[][] = [[], []];
  desk.follow((event) => here?.push(event));
  const stop = other.credentials.follow((event) => there?.push(event));
  const passkey = await enrol(world, home, "chi", ["dee"]);
  await other.store.catchUp();
  expect(here).toMatchObject([
    { kind: "invited", person: "chi", credential: null },
    { kind: "enrolled", person: "chi", credential: passkey.id, label: "chi's phone" },
  ]);
  expect(there).toEqual(here);
  stop();
});

test("the state survives a snapshot", async () => {
  const { home } = await start();
  await enrol(world, home, "chi", ["dee", "ben"]);
  await invite(world, home, "eva", ["dee"]);
  const state = home.fold.state.credentials;
  const json = JSON.parse(JSON.stringify(credentialsReducer.toJSON(state))) as never;
  expect(credentialsReducer.fromJSON(json)).toEqual(state);
});

/** Adopts a policy in which the person is disabled. */
async function disable(at: World, person: string, approvers: readonly string[]): Promise<void> {
  const { readFile, writeFile } = await import("node:fs/promises");
  const { ADOPTION_NAMESPACE, adoptionBytes } = await import("../../src/policy/adoption-statement.ts");
  const text = await readFile(at.settings.policyFile, "utf8");
  await writeFile(
    at.settings.policyFile,
    text.replace(`${person}: { name: ${person},`, `${person}: { name: ${person}, disabled: true,`),
  );
  const signed = await Promise.all(
    approvers.map(async (approver) => {
      const statement = await at.home.adoption.draft(approver);
      const signature = at.keys[approver]?.sign(adoptionBytes(statement), ADOPTION_NAMESPACE) ?? "";
      return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const };
    }),
  );
  await at.home.adoption.adopt(signed);
}
