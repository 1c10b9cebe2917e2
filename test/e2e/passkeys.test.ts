import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { addAuthenticator, missingBrowser, openBrowser, type Authenticator } from "../support/browser.ts";
import { codeOf, invite } from "../support/passkey-world.ts";
import { openPeopleHost, type PeopleHost } from "../support/people-host.ts";
import { CALLER, callTool, makeWorld, ticketOf, type World } from "../support/world.ts";

// A person with a real browser and its virtual authenticator: enrol, sign in, approve. And what a browser, a page or a
// gateway could do wrong on the way: each has to be refused, with words that say what it was.

/** What a page of the host has in it: the client code under test, and its document. */
interface InPage {
  readonly passkey: {
    signIn(): Promise<void>;
    enrol(code: string | null, label: string): Promise<void>;
    sign(draft: { readonly statement: unknown }): Promise<unknown>;
  };
  readonly document: { querySelector(selector: string): { readonly content: string } | null };
}

const missing = missingBrowser();
let browser: Browser;
let world: World;
let clock: FakeClock;
let host: PeopleHost;
let context: BrowserContext;
let page: Page;
let authenticator: Authenticator;
let isLying = false;

const RULES = `rules:
  - id: prod-notes
    match: { tool: write_note }
    verdict: hold
    approve: { by: [sre, security], quorum: 1, assurance: A3, within: 2h }
`;

beforeAll(async () => {
  if (missing === null) browser = await openBrowser();
});
afterAll(() => browser?.close());

beforeEach(async () => {
  if (missing !== null) return;
  isLying = false;
  clock = createFakeClock();
  world = await makeWorld({
    clock,
    head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }",
    rules: RULES,
    userVerified: ["dee"],
    passkeys: { denyAaguids: [], coolingMs: 3_600_000 },
  });
  host = await openPeopleHost({ home: world.home, clock, swapChallenge: () => isLying });
  context = await browser.newContext();
  page = await context.newPage();
  await page.goto(host.origin);
  authenticator = await addAuthenticator(page);
});
afterEach(async () => {
  if (missing !== null) return;
  await context.close();
  await host.close();
  await world.close();
});

/** Runs the page's own code; gives the words of its error, or null. */
const inPage = async (
  work: "signIn" | "enrol",
  ...args: readonly (string | null)[]
): Promise<string | null> => {
  await page.waitForFunction(() => "passkey" in globalThis);
  return page.evaluate(
    async ([name, given]) => {
      try {
        await (
          (globalThis as unknown as InPage).passkey[name] as (...all: readonly unknown[]) => Promise<void>
        )(...given);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },
    [work, args] as const,
  );
};
const codeFor = async (person: string): Promise<string> =>
  codeOf(await invite(world, world.home, person, ["dee"]));
const enrolIn = async (person: string): Promise<void> => {
  expect(await inPage("enrol", await codeFor(person), "phone")).toBeNull();
  await page.goto(host.origin);
};
let asked = 0;
const ask = async (): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book: "log", text: `browser ${(asked += 1)}` }));

interface Answer {
  readonly state?: string;
  readonly refused?: string;
  readonly message?: string;
}

/** Drafts, signs with the passkey and hands in, as the page of a request does; `change` is done to what is handed in. */
async function decide(
  request: string,
  more: {
    readonly decision?: string;
    readonly person?: string;
    readonly change?: Readonly<Record<string, unknown>>;
    readonly challenge?: "own";
  } = {},
): Promise<Answer> {
  await page.waitForFunction(() => "passkey" in globalThis);
  return page.evaluate(
    async ([id, choice]) => {
      const query = new URLSearchParams({ decision: choice.decision ?? "approve" });
      if (choice.person !== undefined) query.set("person", choice.person);
      const { passkey, document } = globalThis as unknown as InPage;
      const draft = (await (await fetch(`/api/v1/requests/${id}/draft?${query.toString()}`)).json()) as {
        readonly statement: object;
      };
      try {
        const proof = await passkey.sign(draft);
        const response = await fetch(`/api/v1/requests/${id}/decisions`, {
          method: "POST",
          headers: {
            "content-type": "application/json",
            "x-csrf-token": document.querySelector("meta[name=csrf]")?.content ?? "",
          },
          body: JSON.stringify({ statement: { ...draft.statement, ...choice.change }, proof }),
        });
        return (await response.json()) as Answer;
      } catch (error) {
        return { refused: "page", message: (error as Error).message };
      }
    },
    [request, more] as const,
  );
}

describe.skipIf(missing !== null)(missing ?? "a person with a passkey", () => {
  test("enrols by invitation, is signed in, signs in again, approves with verification, and it runs", async () => {
    await enrolIn("ben");
    const [{ credentials, strongest }] = world.home.credentials
      .people()
      .filter(({ person }) => person === "ben") as [
      ReturnType<World["home"]["credentials"]["people"]>[number],
    ];
    expect(strongest).toBe("A3");
    expect(credentials).toMatchObject([{ label: "phone", rpId: "localhost" }]);
    expect(
      (await context.cookies()).map(({ name, secure, httpOnly, sameSite }) => [
        name.slice(0, 19),
        secure,
        httpOnly,
        sameSite,
      ]),
    ).toEqual([["__Host-countersign-", true, true, "Strict"]]);
    await context.clearCookies();
    await page.goto(host.origin);
    expect(await inPage("signIn")).toBeNull();
    await page.goto(host.origin);
    const session = await page.evaluate(async () => (await fetch("/api/v1/session")).json());
    expect(session).toMatchObject({
      session: { person: "ben", method: "passkey", notices: [{ kind: "passkey_enrolled", label: "phone" }] },
    });
    const request = await ask();
    expect(await decide(request)).toMatchObject({ state: "granted" });
    const decision = (await world.home.requests.history(request as never)).find(
      (e) => e.kind === "decision.recorded",
    );
    expect(decision).toMatchObject({ data: { person: "ben", assurance: "A3", proof: { kind: "webauthn" } } });
    const reply = await world.home.gate.wait(request, CALLER, {
      signal: new AbortController().signal,
      holdMs: 10_000,
    });
    expect(reply).toMatchObject({ status: "done" });
    expect(world.notes.runs).toHaveLength(1);
  });

  test("can't hand in another decision, other words or another approver than was signed", async () => {
    await enrolIn("ben");
    const request = await ask();
    const said = {
      refused: "SIGNATURE_INVALID",
      message: "the passkey signed another challenge than this statement's",
    };
    expect(await decide(request, { decision: "deny", change: { decision: "approve" } })).toEqual(said);
    expect(await decide(request, { change: { reason: "looks fine" } })).toEqual(said);
    expect(await decide(request, { change: { approver: "chi" } })).toEqual(said);
    expect(await decide(request, { person: "chi" })).toEqual({ refused: "wrong_person" });
    expect(world.home.desk.find(request).quorum.met).toBe(false);
  });

  test("signs nothing where the gateway asks for a signature over something else than the page shows", async () => {
    await enrolIn("ben");
    const request = await ask();
    isLying = true;
    expect(await decide(request)).toEqual({
      refused: "page",
      message: "What would be signed is not the statement on this page. Nothing was signed.",
    });
  });

  test("is not let in or heard by an authenticator that does not verify its user", async () => {
    await enrolIn("ben");
    const request = await ask();
    await authenticator.setUserVerified(false);
    expect((await decide(request)).refused).toBe("page");
    await context.clearCookies();
    expect(await inPage("signIn")).not.toBeNull();
    expect(world.home.desk.find(request).quorum.met).toBe(false);
  });

  test("can't decide on a page that stayed open beyond the deadline", async () => {
    await enrolIn("ben");
    const request = await ask();
    clock.advance(2 * 3_600_000 + 1);
    await host.people.sessions.flush();
    expect(await decide(request, { person: "ben" })).toEqual({ refused: "expired" });
  });

  test("decides once: a second tab, and the same answer sent again, change nothing", async () => {
    await enrolIn("ben");
    const request = await ask();
    expect(await decide(request, { decision: "deny" })).toMatchObject({ state: "denied" });
    expect((await decide(request)).refused).toBeDefined();
  });

  test("adds a second passkey with the first, once that one counts; not with one that cools", async () => {
    await enrolIn("ben");
    await context.clearCookies();
    await authenticator.remove();
    authenticator = await addAuthenticator(page);
    await page.goto(host.origin);
    await enrolIn("chi");
    // chi's first one cools: the log had one already.
    await authenticator.remove();
    const second = await addAuthenticator(page);
    expect(await inPage("enrol", null, "key")).toMatch(/None of your passkeys counts yet/);
    expect(world.home.credentials.ofPerson("chi")).toHaveLength(1);
    await second.remove();
  });

  test("is refused a code that is wrong or used, in words that tell nothing", async () => {
    const code = await codeFor("ben");
    const words =
      "This code is wrong, used, replaced or expired. Next: ask for a new one: countersign people invite <person>.";
    expect(await inPage("enrol", "ben.2222-2222-2222-2222", "x")).toBe(words);
    expect(await inPage("enrol", "mallory.2222-2222-2222-2222", "x")).toBe(words);
    expect(await inPage("enrol", code, "x")).toBeNull();
    await page.goto(host.origin);
    expect(await inPage("enrol", code, "x")).toBe(words);
  });

  test("is refused a model that is not allowed, as Chromium's own virtual one by default", async () => {
    await host.close();
    await world.close();
    world = await makeWorld({ clock, head: "adopt: on_save" });
    host = await openPeopleHost({ home: world.home, clock });
    await page.goto(host.origin);
    const { code } = await world.home.credentials.inviteOnSave("ben");
    expect(await inPage("enrol", code, "x")).toMatch(
      /01020304-0506-0708-0102-030405060708 may not be enrolled here/,
    );
  });

  test("signs in to nothing from a page of another port, though its cookie goes there", async () => {
    await enrolIn("ben");
    const other = await openPeopleHost({ home: world.home, clock });
    // The real gateway is the first; the second stands for a hostile server on the same host.
    world.home.credentials.serveAt(host.origin);
    await page.goto(other.origin);
    expect(await inPage("signIn")).toMatch(/asked, which is not ours/);
    const request = await ask();
    const answer = await page.evaluate(
      async ([origin, id]) => {
        const response = await fetch(`${origin}/api/v1/requests/${id}/decisions`, {
          method: "POST",
          mode: "no-cors",
          credentials: "include",
          body: "{}",
        }).catch(() => null);
        return response?.type ?? "failed";
      },
      [host.origin, request] as const,
    );
    expect(["opaque", "failed"]).toContain(answer);
    expect(world.home.desk.find(request).quorum.met).toBe(false);
    await other.close();
  });
});
