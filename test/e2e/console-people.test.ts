import type { Browser, Page } from "playwright-core";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addAuthenticator, missingBrowser, openBrowser } from "../support/browser.ts";
import { CLIENT_KINDS, type TestClient } from "../support/mcp-clients.ts";
import { sitDown, type PersonAtBrowser } from "../support/person-at-browser.ts";
import {
  missingForMain,
  openRealHome,
  type PolicyFacts,
  type RealHome,
  type RunningGateway,
} from "../support/real-gateway.ts";

// The console as people have it: the bundled gateway, a real Chromium with an authenticator, an agent over MCP. Nothing
// here reaches into the gateway; what a person can't do with the pages and the command line isn't done.

const missing = missingForMain() ?? missingBrowser();

const policy = ({ account, ben, chi }: PolicyFacts): string => `version: 1
people:
  ana: { name: Ana Ruiz, os: ["${account}"] }
  ben: { name: Ben Oduya, ssh: ["${ben}"] }
  chi: { name: Chi Tran, ssh: ["${chi}"] }
  dee: { name: Dee Larsen }
groups:
  sre: [ben, chi]
  leads: [ben]
  duty: { on_call: { people: [chi], every: 7d, starts: 2026-01-05T08:00:00Z } }
agents: { claude: { owners: [ana] } }
policy_change: { by: [sre], quorum: 2, assurance: A2 }
rules:
  - id: releases-need-a-passkey
    match: { tool: deploy_service, environment: prod }
    verdict: hold
    approve: { by: [sre], quorum: 1, assurance: A3, within: 30m }
    because: every release is looked at
  - id: quick-ones-wait-five-seconds
    match: { tool: deploy_service, environment: prod }
    when: args.ref.startsWith("quick/")
    verdict: hold
    approve: { by: [sre], quorum: 1, assurance: A3, within: 5s }
  - id: slow-ones-find-others
    match: { tool: deploy_service, environment: prod }
    when: args.ref.startsWith("slow/")
    verdict: hold
    approve:
      by: [leads]
      quorum: 1
      assurance: A3
      within: 12s
      escalate: [{ after: 5s, to: [duty] }]
  - id: the-lab-needs-two
    match: { tool: deploy_service, environment: lab }
    verdict: hold
    approve: { by: [sre], quorum: 2, assurance: A2, within: 30m }
    because: two look at the lab
`;

describe.skipIf(missing !== null)(missing ?? "people at the console", () => {
  let home: RealHome;
  let gateway: RunningGateway;
  let browser: Browser;
  let agent: TestClient;
  let ben: PersonAtBrowser;
  let chi: PersonAtBrowser;
  const people: PersonAtBrowser[] = [];

  beforeAll(async () => {
    home = await openRealHome({
      policy,
      config: "passkeys: { deny_aaguids: [], cooling: none }",
      hold: "2s",
    });
    gateway = await home.start();
    browser = await openBrowser();
    agent = await CLIENT_KINDS.find(({ over, era }) => over === "http" && era === "modern")!.connect(
      home.http(gateway),
    );
  }, 60_000);
  afterAll(async () => {
    await agent?.close();
    await browser?.close();
    await gateway?.stop();
    await home?.demandVerified();
    await home?.close();
  });
  afterEach(async () => {
    for (const { context, page } of people) {
      await page.unrouteAll();
      await context.unrouteAll();
    }
    expect(people.flatMap((one) => one.troubles())).toEqual([]);
  });

  const key = (who: string): string => join(home.root, "user", "keys", who);
  const countersign = async (...args: readonly string[]): Promise<string> => {
    const said = await home.run(["--home", home.home, ...args]);
    if (said.code !== 0) throw new Error(`countersign ${args.join(" ")}:\n${said.out}${said.err}`);
    return said.out;
  };
  /** What `countersign people invite` prints, once two people of policy_change ran it. */
  const invite = async (person: string): Promise<string> => {
    expect(await countersign("people", "invite", person, "--key", key("ben"), "--yes")).toContain("1 more");
    const said = await countersign("people", "invite", person, "--key", key("chi"), "--yes");
    return /^page\s+(\S+)$/m.exec(said)?.[1] ?? said;
  };
  const person = async (): Promise<PersonAtBrowser> => {
    const one = await sitDown(browser, gateway.api);
    people.push(one);
    return one;
  };
  const phase = (ticket: string) => async (): Promise<string | undefined> =>
    (await home.list(gateway)).find(({ id }) => id === ticket)?.phase;
  /** Until the page says where the request stands; else with what the page says instead. */
  const status = async (page: Page, words: string): Promise<void> => {
    await page.waitForSelector(`#status .chip:has-text('${words}')`).catch(async () => {
      const instead = await page.locator("#status, .sheet-error, #toast, [data-live-state]").allInnerTexts();
      throw new Error(
        `expected ${words}, the page says: ${instead.filter((text) => text !== "").join(" | ")}`,
      );
    });
  };
  const said = (page: Page, sheet = "approve"): Promise<string> =>
    page.waitForSelector(`#${sheet} .sheet-error:not(:empty)`).then((error) => error.innerText());
  const csrfOf = async (page: Page): Promise<string> =>
    (await page.locator("meta[name=csrf]").getAttribute("content")) ?? "";
  /** How often this person's passkeys have signed. */
  const signatures = async ({ authenticator }: PersonAtBrowser): Promise<number> => {
    const { credentials } = await authenticator.cdp.send("WebAuthn.getCredentials", {
      authenticatorId: authenticator.id,
    });
    return credentials.reduce((sum, { signCount }) => sum + signCount, 0);
  };
  let n = 0;
  /** The agent calls; the ticket of what is held. */
  const ask = async (service = "web", kind = "release"): Promise<string> => {
    n += 1;
    home.source.commit({ "index.html": `<p>release ${n}</p>\n` }, `release ${n}`);
    home.source.git("branch", `${kind}/${n}`);
    const { data } = await agent.call("deploy_service", {
      service,
      ref: `${kind}/${n}`,
      justification: "the sale starts at noon",
    });
    expect(data["status"]).toBe("pending");
    return String(data["ticket"]);
  };
  const outcome = async (ticket: string): Promise<Record<string, unknown>> =>
    (await agent.call("countersign_wait", { ticket })).data;
  /** Review and sign: until the page says what came of it. */
  const sign = async (person: PersonAtBrowser): Promise<void> => {
    await person.page.click("[data-open=approve]");
    await person.page.click("#approve [data-submit]:not(:disabled)");
  };

  test("ben enrols with the link that the command line printed, and is signed in", async () => {
    ben = await person();
    const link = await invite("ben");
    expect(link.startsWith(`${gateway.api}/enrol#ben.`)).toBe(true);
    await ben.enrol(link, "laptop");
    expect(await ben.page.locator("h1").innerText()).toBe("Inbox");
    await ben.go("/people");
    expect(await ben.page.locator("#own-passkeys").innerText()).toContain("laptop");
  });

  test("he reviews and signs what the agent asked for, it runs, and the page follows it to its end", async () => {
    await ben.go("/");
    await ben.page.waitForSelector('[data-live-state="on"]');
    const ticket = await ask();
    // It appears by itself.
    await ben.page.click(`#${ticket} a`);
    await ben.page.waitForSelector("html[data-ready]");
    expect(await ben.page.locator("#main").innerText()).toContain("the sale starts at noon");
    await sign(ben);
    await ben.page.waitForSelector("#status .chip:has-text('Done')");
    expect(await outcome(ticket)).toMatchObject({ status: "done" });
    expect(home.current()).toContain("releases/");

    const [download] = await Promise.all([ben.page.waitForEvent("download"), ben.page.click("text=Receipt")]);
    const receipt = join(home.root, "receipt.json");
    await download.saveAs(receipt);
    // Elsewhere, with nothing but the file.
    const verified = await home.run(["verify", receipt]);
    expect(verified.code, verified.err).toBe(0);
    expect(verified.out).toMatch(/decision {4}ben \(Ben Oduya\) approved at \S+, A3, counted/);
    const tampered = join(home.root, "tampered.json");
    await writeFile(tampered, (await readFile(receipt, "utf8")).replaceAll("release/1", "release/9"));
    expect((await home.run(["verify", tampered])).code).not.toBe(0);
  });

  test("a page or a draft that was tampered with is refused before the passkey is asked", async () => {
    const ticket = await ask();
    const before = await signatures(ben);
    const { page } = ben;
    const drafts: Record<string, (draft: Draft) => void> = {
      "another challenge": ({ sign }) => (sign["challenge"] = "A".repeat(43)),
      "another approver": ({ statement }) => (statement["approver"] = "chi"),
      "another question": ({ statement }) => (statement["question"] = `sha256:${"0".repeat(64)}`),
      "another summary": ({ statement }) => (statement["summary"] = "nothing much"),
    };
    for (const [what, change] of Object.entries(drafts)) {
      await ben.go(`/requests/${ticket}`);
      await page.route("**/draft?*", async (route) => {
        const answer = await route.fetch();
        const draft = (await answer.json()) as Draft;
        change(draft);
        await route.fulfill({ response: answer, json: draft });
      });
      await sign(ben);
      expect(await said(page), what).toContain("Nothing was signed");
      await page.unroute("**/draft?*");
    }
    await ben.go(`/requests/${ticket}`);
    await page.evaluate(`document.querySelector('[data-at="/effectLine"]').textContent = "READ 1 file"`);
    await page.click("[data-open=approve]");
    expect(await said(page)).toContain("Nothing can be signed here");
    expect(await page.locator("#approve [data-submit]").isDisabled()).toBe(true);
    expect(await signatures(ben)).toBe(before);
    expect(await phase(ticket)()).toBe("held");
  });

  test("what is changed after the passkey signed is refused by the gateway, in words", async () => {
    const ticket = await ask();
    const { page } = ben;
    const changes: Record<string, readonly [(body: Handed) => void, RegExp]> = {
      "other words": [({ statement }) => (statement["reason"] = "looks fine"), /signed another challenge/],
      "another approver": [({ statement }) => (statement["approver"] = "chi"), /another person’s/],
      "another signature": [({ proof }) => (proof["signature"] = "MEUCIQ"), /signature/],
    };
    for (const [what, [change, words]] of Object.entries(changes)) {
      await ben.go(`/requests/${ticket}`);
      await page.route("**/decisions", async (route) => {
        const body = route.request().postDataJSON() as Handed;
        change(body);
        await route.continue({ postData: JSON.stringify(body) });
      });
      await sign(ben);
      expect(await said(page), what).toMatch(words);
      await page.unroute("**/decisions");
    }
    expect(await phase(ticket)()).toBe("held");
  });

  test("a device that does not recognise its person signs nothing, and the page says so", async () => {
    const ticket = await ask();
    await ben.go(`/requests/${ticket}`);
    await ben.authenticator.setUserVerified(false);
    await sign(ben);
    expect(await said(ben.page)).toMatch(/Nothing was signed: .*did not recognise you/);
    await ben.authenticator.setUserVerified(true);
    expect(await phase(ticket)()).toBe("held");
    // The sheet is still open: the same press works once the person is recognised.
    await ben.page.click("#approve [data-submit]");
    await status(ben.page, "Done");
  });

  test("in a second tab what was settled in the first is over, live or not; a replay decides nothing", async () => {
    const ticket = await ask();
    await ben.go(`/requests/${ticket}`);
    const live = await ben.tab(`/requests/${ticket}`);
    // A tab whose network forgets to tell it anything.
    await ben.context.route("**/api/v1/events", (route) => route.abort());
    const asleep = await ben.tab(`/requests/${ticket}`);
    let handed: unknown;
    ben.page.on("request", (request) => {
      if (request.url().endsWith("/decisions")) handed = request.postDataJSON();
    });
    await sign(ben);
    await status(ben.page, "Done");

    await status(live, "Done");
    expect(await live.locator("#actions button:not(:disabled)").count()).toBe(0);
    await asleep.click("[data-open=deny]");
    await asleep.click("#deny [data-submit]");
    await asleep.waitForSelector("#toast:has-text('This request is over. Nothing was recorded')");
    // It has looked again, though no event told it to.
    await status(asleep, "Done");

    const replayed = await ben.context.request.post(`${gateway.api}/api/v1/requests/${ticket}/decisions`, {
      headers: { origin: gateway.api, "x-csrf-token": await csrfOf(ben.page) },
      data: handed,
    });
    expect(await replayed.json()).toMatchObject({ status: 409, code: "already_settled" });
    const decisions = home
      .entries()
      .filter((entry) => entry.kind === "decision.recorded" && entry.subject === ticket);
    expect(decisions).toHaveLength(1);
    await ben.context.unroute("**/api/v1/events");
    await live.close();
    await asleep.close();
  });

  test("a page that stayed open beyond the deadline says that it is over", async () => {
    const ticket = await ask("web", "quick");
    await ben.context.route("**/api/v1/events", (route) => route.abort());
    const asleep = await ben.tab(`/requests/${ticket}`);
    await asleep.click("[data-open=approve]");
    await asleep.waitForSelector("#approve [data-submit]:not(:disabled)");
    await expect.poll(phase(ticket), { timeout: 15_000 }).toBe("expired");
    await asleep.click("#approve [data-submit]");
    await asleep.waitForSelector("#toast:has-text('This request is over')");
    await status(asleep, "Expired");
    await ben.context.unroute("**/api/v1/events");
    await asleep.close();
    await ben.go(`/requests/${ticket}`);
    expect(await ben.page.locator("#status").innerText()).toContain("Expired");
    expect(await outcome(ticket)).toMatchObject({ status: "refused", code: "expired" });
  });

  test("in real time others are asked after five seconds and it is over after twelve, seen without a reload", async () => {
    const ticket = await ask("web", "slow");
    await ben.go(`/requests/${ticket}`);
    const { page } = ben;
    await page.waitForSelector("#quorum:has-text('duty will be asked too')");
    expect(await page.locator("#quorum").innerText()).toMatch(/On call for duty\s+Chi Tran/);
    await page.waitForSelector("#quorum:has-text('duty asked too, since')");
    await status(page, "Expired");
    expect(await page.locator("#timeline").innerText()).toMatch(/More people are asked\s[^]*Expired/);
    const at = (kind: string): number =>
      Date.parse(home.entries().find((entry) => entry.subject === ticket && entry.kind === kind)?.time ?? "");
    const asked = at("consent.asked");
    expect(at("consent.escalated") - asked).toBeGreaterThanOrEqual(5_000);
    expect(at("consent.escalated") - asked).toBeLessThan(10_000);
    expect(at("request.expired") - asked).toBeGreaterThanOrEqual(12_000);
    expect(at("request.expired") - asked).toBeLessThan(20_000);
  });

  test("a denial reaches the agent with its words and what it may do about it", async () => {
    const { page } = ben;
    const fixable = await ask();
    await ben.go(`/requests/${fixable}`);
    await page.click("[data-open=deny]");
    await page.check('#deny input[value="fixable"]');
    await page.fill("#deny textarea", "Bring the price change first.");
    await page.click("#deny [data-submit]");
    await status(page, "Denied");
    const told = await outcome(fixable);
    expect(told).toMatchObject({ status: "refused", class: "denied_fixable", code: "correction_wanted" });
    expect(JSON.stringify(told)).toContain("Bring the price change first.");

    const final = await ask();
    await ben.go(`/requests/${final}`);
    await page.click("[data-open=deny]");
    await page.click("#deny [data-submit]");
    await status(page, "Denied");
    expect(await outcome(final)).toMatchObject({ status: "refused", class: "denied_final" });
  });

  test("a question to the agent is answered over MCP and stands boxed on the page, unverified", async () => {
    const ticket = await ask();
    const { page } = ben;
    await ben.go(`/requests/${ticket}`);
    await page.waitForSelector('[data-live-state="on"]');
    await page.click("[data-open=ask]");
    await page.fill("#ask textarea", "Why now?");
    await page.click("#ask [data-submit]");
    await page.waitForSelector("#inquiries :text('Why now?')");
    expect(await page.locator("#inquiries").innerText()).toContain("has not answered yet");
    const waiting = await outcome(ticket);
    const [inquiry] = waiting["inquiries"] as { id: string; text: string }[];
    expect(inquiry?.text).toBe("Why now?");
    await agent.call("countersign_answer", {
      ticket,
      inquiry: inquiry?.id,
      answer: "The sale. <b>Trust me</b>, approve \u202eti.",
    });
    await page.waitForSelector("#inquiries blockquote.unverified");
    const box = await page.locator("#inquiries blockquote").innerText();
    expect(box).toContain("Agent claude answers (unverified)");
    expect(box).toContain("<b>Trust me</b>, approve ⟦U+202E⟧ti.");
    expect(await page.locator("#inquiries blockquote b").count()).toBe(0);
    await agent.call("countersign_withdraw", { ticket });
    await status(page, "Withdrawn");
  });

  test("chi enrols too; an approval that was taken back counts no more, and two people bring it out", async () => {
    chi = await person();
    await chi.enrol(await invite("chi"), "phone");
    const ticket = await ask("lab");
    await ben.go(`/requests/${ticket}`);
    await ben.page.waitForSelector('[data-live-state="on"]');
    await sign(ben);
    await ben.page.waitForSelector("#actions:has-text('You have approved this')");
    await ben.page.click("[data-open=take-back]");
    await ben.page.fill("#take-back input[name=reason]", "wrong window");
    await ben.page.click("#take-back [data-submit]");
    await ben.page.waitForSelector("#actions [data-open=approve]");
    await chi.go(`/requests/${ticket}`);
    await sign(chi);
    await chi.page.waitForSelector("#quorum:has-text('1 missing')");
    expect(await phase(ticket)()).toBe("held");
    await sign(ben);
    await status(ben.page, "Done");
    await status(chi.page, "Done");
    expect(await chi.page.locator("#timeline").innerText()).toContain("ben took the approval back");
  });

  test("two invite a third person on the page; she enrols, adds a second passkey and removes the first", async () => {
    const press = async (who: PersonAtBrowser): Promise<void> => {
      await who.go("/people");
      await who.page.click('button[data-action="invite"][data-person="dee"]');
      await who.page.waitForSelector("dialog#invitation[open]");
    };
    await press(ben);
    expect(await ben.page.locator("#invitation").innerText()).toContain("Others have to sign too");
    await press(chi);
    const link = await chi.page.locator("[data-invitation-url]").innerText();
    const dee = await person();
    await dee.enrol(link, "first");
    await chi.page.waitForSelector("#people :text('first')");
    await dee.go("/people");
    const { page } = dee;
    const label = 'form[data-action="add-passkey"] input';
    const add = 'form[data-action="add-passkey"] button';
    await page.fill(label, "again");
    await page.click(add);
    const same = await page.waitForSelector('form[data-action="add-passkey"] .sheet-error:not(:empty)');
    expect(await same.innerText()).toContain("has a passkey for you already");

    // A second device makes it; then the first one is at hand again, to vouch for it.
    const { cdp, id } = dee.authenticator;
    const { credentials } = await cdp.send("WebAuthn.getCredentials", { authenticatorId: id });
    await dee.authenticator.remove();
    const second = await addAuthenticator(page);
    await page.route(
      "**/api/v1/enrolment",
      async (route) => {
        await second.remove();
        dee.authenticator = await addAuthenticator(page);
        await dee.authenticator.cdp.send("WebAuthn.addCredential", {
          authenticatorId: dee.authenticator.id,
          credential: credentials[0]!,
        });
        await route.continue();
      },
      { times: 1 },
    );
    await page.fill(label, "second");
    await page.click(add);
    await page.waitForSelector("#own-passkeys :text('second')");
    expect(await page.locator("#own-passkeys li").count()).toBe(2);
    await page.click("#own-passkeys li:has-text('first') button");
    await page.click("#own-passkeys button:has-text('Really remove?')");
    // It was the one that had signed her in.
    await page.waitForURL("**/sign-in*");
    expect(home.entries().some((entry) => entry.kind === "credential.removed")).toBe(true);
  });

  test("a changed policy is adopted by two people on the page", async () => {
    await ben.go("/policy");
    await ben.page.waitForSelector('[data-live-state="on"]');
    const file = join(home.home, "policy.yaml");
    const text = await readFile(file, "utf8");
    await writeFile(
      file,
      text.replace("quorum: 1, assurance: A3, within: 30m", "quorum: 1, assurance: A2, within: 30m"),
    );
    await ben.page.waitForSelector("#proposal :text('weaker')");
    await ben.page.click("#proposal [data-submit]");
    await ben.page.waitForSelector("#proposal:has-text('You have signed this')");
    await chi.go("/policy");
    expect(await chi.page.locator("#proposal").innerText()).toContain("Signed by ben");
    await chi.page.click("#proposal [data-submit]");
    for (const { page } of [chi, ben]) {
      const signed = await page.waitForSelector("#history :text('Signed by')");
      expect((await signed.innerText()).replace("Signed by ", "").split(", ").sort()).toEqual(["ben", "chi"]);
    }
    expect(await ben.page.locator("#proposal").innerText()).toBe("");
    expect(home.entries().filter(({ kind }) => kind === "policy.adopted")).toHaveLength(2);
  });

  test("a session that is ended elsewhere, or signed out, shows and does nothing any more", async () => {
    // The same passkey in another browser, as one that is synced.
    const other = await person();
    const { credentials } = await chi.authenticator.cdp.send("WebAuthn.getCredentials", {
      authenticatorId: chi.authenticator.id,
    });
    await other.authenticator.cdp.send("WebAuthn.addCredential", {
      authenticatorId: other.authenticator.id,
      credential: { ...credentials[0]!, signCount: credentials[0]!.signCount + 100 },
    });
    await other.go("/sign-in?next=%2Flog");
    await other.page.click("form[data-action=sign-in] [data-submit]");
    await other.page.waitForURL("**/log");
    await other.go("/people");
    await other.page.waitForSelector('[data-live-state="on"]');

    await chi.go("/people");
    expect(await chi.page.locator("#sessions li").count()).toBe(2);
    await chi.page.click('#sessions button[data-action="end-session"]');
    await expect.poll(() => chi.page.locator("#sessions li").count()).toBe(1);
    await other.page.waitForURL("**/sign-in*", { timeout: 60_000 });

    await chi.page.click('header button[data-action="sign-out"]');
    // Whether the page left by itself or found its session gone first, it ends here.
    await chi.page.waitForURL("**/sign-in*");
    // In a tab of its own: the page may still be leaving a second time.
    const tab = await chi.page.context().newPage();
    await tab.goto(`${gateway.api}/log`);
    expect(tab.url()).toContain("/sign-in?next=%2Flog");
  });
});

interface Draft {
  readonly statement: Record<string, unknown>;
  readonly sign: Record<string, unknown>;
}
interface Handed {
  readonly statement: Record<string, unknown>;
  readonly proof: Record<string, unknown>;
}
