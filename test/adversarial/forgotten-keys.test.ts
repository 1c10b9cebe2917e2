import { afterEach, expect, test } from "vitest";
import type { EntryDraft } from "../../src/log/entry.ts";
import { codeOf, ORIGIN, signWithKey } from "../support/passkey-world.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { makeWorld, type World } from "../support/world.ts";

// The log remembers which keys were used, and forgets the oldest of those that end. Can somebody who is allowed many
// calls make it forget that a signed statement has been used?

let world: World;
afterEach(() => world.close());

test("a statement about passkeys serves once, however many calls came since (E1)", async () => {
  const clock = createFakeClock();
  world = await makeWorld({
    clock,
    head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }",
  });
  const { credentials, store } = world.home;
  credentials.serveAt(ORIGIN);
  const statement = await credentials.draft({ action: "invite", person: "chi", approver: "dee" });
  const signed = signWithKey(world, statement);
  const code = codeOf(await credentials.invite(signed));
  expect(await credentials.checkCode(code)).toBe("chi");

  // What allowed reads with a call id of their host leave behind.
  const day = clock.now() + 24 * 3_600_000;
  for (let batch = 0; batch < 30; batch += 1) {
    const entries = Array.from({ length: 1_000 }, (_, i): EntryDraft => ({
      kind: "throttled",
      subject: `throttle:${batch}-${i}`,
      policy: null,
      keys: [{ key: `call:${batch}-${i}`, until: day }],
      data: { principal: "ana", agent: "claude", count: 1, limit: "readsPerMinute" },
    }));
    expect((await store.append({ expect: [], newKeys: [], entries })).ok).toBe(true);
  }
  await expect(credentials.invite(signed)).rejects.toMatchObject({ code: "CREDENTIAL_REFUSED" });
});
