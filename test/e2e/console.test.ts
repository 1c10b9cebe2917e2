import type { Browser, BrowserContext, Page } from "playwright-core";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { missingBrowser, openBrowser, watchPage } from "../support/browser.ts";
import { answerInquiry, inquire, wordOf } from "../support/console-world.ts";
import { HOSTILE, openShowcase, type Showcase } from "../support/showcase.ts";

// The pages in a real browser. Every test also fails on a console error, a refused load, a dialog, or a request to
// anywhere but the gateway: see `watched`.

const missing = missingBrowser();
let world: Showcase;
let browser: Browser;
let contexts: BrowserContext[] = [];
/** What pages handed in, as it left them. */
const handedIn: Record<string, unknown>[] = [];
let watched: { readonly troubles: readonly string[] }[] = [];

describe.skipIf(missing !== null)(missing ?? "the console in Chromium", () => {
  beforeAll(async () => {
    world = await openShowcase();
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });
  afterEach(async () => {
    const troubles = watched.flatMap((one) => one.troubles);
    for (const context of contexts) await context.close();
    [contexts, watched] = [[], []];
    expect(troubles).toEqual([]);
  });

  interface Look {
    readonly person?: string | null;
    readonly script?: boolean;
    readonly signedInAgo?: number;
  }
  const open = async (
    path: string,
    { person = "ben", script = true, signedInAgo }: Look = {},
  ): Promise<Page> => {
    const context = await browser.newContext({ javaScriptEnabled: script });
    contexts.push(context);
    const change = signedInAgo === undefined ? {} : { signedInAt: Date.now() - signedInAgo };
    if (person !== null) await context.addCookies([world.cookie(person, change)]);
    const page = await context.newPage();
    watched.push(watchPage(page, world.origin));
    page.on("request", (request) => {
      if (request.method() === "POST") handedIn.push(request.postDataJSON() as Record<string, unknown>);
    });
    await page.goto(`${world.origin}${path}`);
    if (script) await page.waitForSelector("html[data-ready]");
    return page;
  };
  const ask = async (
    service = "shop",
    ref = `r${Math.floor(performance.now() * 1000)}`,
  ): Promise<`req_${string}`> => {
    const reply = await world.ask("deploy_service", { service, ref });
    if (reply.status !== "pending") throw new Error(reply.status);
    return reply.ticket;
  };
  const phaseOf = async (id: string): Promise<string> => (await world.home.requests.find(id)).phase;

  test("every page renders without an error, a violation or a request to elsewhere", async () => {
    const paths = [
      "/",
      ...Object.values(world.requests).map((id) => `/requests/${id}`),
      "/log",
      "/log/3",
      "/policy",
      "/people",
      "/health",
      "/enrol",
    ];
    const page = await open("/");
    for (const path of paths) {
      await page.goto(`${world.origin}${path}`);
      await page.waitForSelector("html[data-ready]");
      expect(await page.locator("h1").count(), path).toBe(1);
      expect(await page.locator("#main").innerText(), path).not.toBe("");
    }
  });

  test("reading works without script: evidence, folds and links", async () => {
    const page = await open(`/requests/${world.requests.destroy}`, { script: false });
    const main = await page.locator("#main").innerText();
    expect(main).toContain("DESTROY 1 database");
    expect(main).toContain("countersign approve");
    await page.locator("#fold-document-0 > summary").click();
    expect(await page.locator("#fold-document-0").innerText()).toContain('subnet_83 = "10.20.83.0/24"');
    expect(await page.locator("[data-open=approve]").isVisible()).toBe(false);
    await page.locator("a.rule-id").click();
    expect(page.url()).toContain("/policy#rule-prod-deletes-need-two");
  });

  test("a new request and its end appear in the inbox by themselves", async () => {
    const page = await open("/");
    await page.waitForSelector('[data-live-state="on"]');
    const before = await page.locator("#list-mine .row").count();
    const id = await ask("shop");
    await page.waitForSelector(`#${id}`);
    expect(await page.locator("#list-mine .row").count()).toBe(before + 1);
    expect(await page.title()).toContain(`(${before + 1})`);
    const statement = await world.home.desk.draft(id, {
      decision: "deny",
      person: "chi",
      reason: "not now",
      log: null,
    });
    await world.home.desk.decide(statement, wordOf("chi"));
    await page.waitForSelector(`#list-decided #${id}`);
    expect(await page.locator("#list-mine .row").count()).toBe(before);
  });

  test("a request that others settle shows it, and its buttons are dead", async () => {
    const id = await ask("shop");
    const page = await open(`/requests/${id}`);
    await page.waitForSelector('[data-live-state="on"]');
    await page.click("[data-open=deny]");
    await page.fill("#deny textarea", "half a sentence");
    const statement = await world.home.desk.draft(id, {
      decision: "deny",
      person: "chi",
      reason: "I was first",
      log: null,
    });
    await world.home.desk.decide(statement, wordOf("chi"));
    await page.waitForSelector("#status .chip:has-text('Denied')");
    expect(await page.locator("#status").innerText()).toContain("I was first");
    expect(await page.locator("#actions button:not(:disabled)").count()).toBe(0);
    expect(await page.locator("dialog[open]").count()).toBe(0);
  });

  test("what a person is typing outlives an update of the page", async () => {
    const id = await ask("shop");
    const page = await open(`/requests/${id}`);
    await page.waitForSelector('[data-live-state="on"]');
    await page.click("[data-open=deny]");
    await page.fill("#deny textarea", "wrong branch, and");
    const at = Date.now();
    await inquire(world.home, id, "chi", "Which branch?", at);
    await answerInquiry(world.home, id, at, "claude", HOSTILE.markup);
    await page.waitForSelector("#inquiries blockquote.unverified");
    expect(await page.locator("#inquiries").innerText()).toContain("answers (unverified)");
    expect(await page.locator("#inquiries a, #inquiries img").count()).toBe(0);
    expect(await page.inputValue("#deny textarea")).toBe("wrong branch, and");
    expect(await page.locator("dialog#deny[open]").count()).toBe(1);
  });

  test("denying with words and a class takes two presses and no passkey", async () => {
    const id = await ask("shop");
    const page = await open(`/requests/${id}`);
    await page.click("[data-open=deny]");
    await page.check('#deny input[value="fixable"]');
    await page.fill("#deny textarea", "Use release-43.");
    await page.click("#deny [data-submit]");
    await page.waitForSelector("#status .chip:has-text('Denied')");
    expect(await phaseOf(id)).toBe("denied");
    const body = handedIn.at(-1);
    expect(body?.["statement"]).toMatchObject({ decision: "deny", reason: "Use release-43.", fixable: true });
    expect(body?.["proof"]).toEqual({ kind: "session" });
  });

  test("approving with a fresh session compares everything first, then it runs", async () => {
    const id = await ask("shop");
    const page = await open(`/requests/${id}`, { person: "chi" });
    await page.click("[data-open=approve]");
    await page.waitForSelector("#approve [data-submit]:not(:disabled)");
    expect(await page.locator("#approve .check-good").count()).toBe(4);
    await page.click("#approve [data-submit]");
    await page.waitForSelector("#status .chip:has-text('Done')");
    expect(await phaseOf(id)).toBe("done");
  });

  test("a session older than five minutes is recorded and not counted, and says so (C3)", async () => {
    const id = await ask("shop");
    const page = await open(`/requests/${id}`, { person: "chi", signedInAgo: 6 * 60_000 });
    await page.click("[data-open=approve]");
    await page.click("#approve [data-submit]:not(:disabled)");
    await page.waitForSelector("#toast.shown:has-text('does not count')");
    expect(await phaseOf(id)).toBe("held");
  });

  test("nothing is handed in where statement, person, words or challenge differ from the page", async () => {
    const id = await ask("shop");
    const tampers: Record<
      string,
      (draft: { statement: Record<string, unknown>; sign: Record<string, unknown> }) => void
    > = {
      "another question": ({ statement }) => (statement["question"] = `sha256:${"0".repeat(64)}`),
      "another person": ({ statement }) => (statement["approver"] = "dee"),
      "another decision": ({ statement }) => (statement["decision"] = "deny"),
      "another summary": ({ statement }) => (statement["summary"] = "nothing much"),
      "another challenge": ({ sign }) => (sign["challenge"] = "A".repeat(43)),
      "other bytes": ({ sign }) => (sign["bytes"] = "AAAA"),
    };
    const page = await open(`/requests/${id}`, { person: "chi" });
    for (const [what, change] of Object.entries(tampers)) {
      await page.route("**/draft?*", async (route) => {
        const answer = await route.fetch();
        const draft = (await answer.json()) as never;
        change(draft);
        await route.fulfill({ response: answer, json: draft });
      });
      const before = handedIn.length;
      await page.click("[data-open=approve]");
      await page.click("#approve [data-submit]:not(:disabled)");
      await page.waitForSelector("#approve .sheet-error:not(:empty)");
      expect(await page.locator("#approve .sheet-error").innerText(), what).toContain("Nothing was signed");
      expect(handedIn.length, what).toBe(before);
      await page.click("#approve [data-close]");
      await page.unroute("**/draft?*");
    }
    expect(await phaseOf(id)).toBe("held");
  });

  test("a page whose text differs from the evidence can't be signed (C4)", async () => {
    const id = await ask("checkout");
    const changes: Record<string, string> = {
      "a line of the diff is gone": `document.querySelector('.diff .d-add').remove()`,
      "a word was replaced": `document.querySelector('[data-at="/effectLine"]').textContent = "READ 1 file"`,
      "a document is missing": `document.querySelector('#fold-document-0').remove()`,
      "something was added": `document.querySelector('[data-at="/preview/summary"]').append(" (harmless)")`,
    };
    for (const [what, script] of Object.entries(changes)) {
      const page = await open(`/requests/${id}`);
      await page.evaluate(script);
      await page.click("[data-open=approve]");
      await page.waitForSelector("#approve .check-bad");
      expect(await page.locator("#approve [data-submit]").isDisabled(), what).toBe(true);
      expect(await page.locator("#approve .sheet-error").innerText()).toContain("Nothing can be signed here");
    }
  });

  test("what was never opened is named before anyone signs", async () => {
    const page = await open(`/requests/${world.requests.destroy}`);
    await page.click("[data-open=approve]");
    await page.waitForSelector("#approve [data-unread]:not([hidden])");
    expect(await page.locator("#approve [data-unread]").innerText()).toContain("saved plan, 85 to destroy");
    await page.click("#approve [data-close]");
    await page.keyboard.press("e");
    await page.click("[data-open=approve]");
    await page.waitForSelector("#approve [data-submit]:not(:disabled)");
    expect(await page.locator("#approve [data-unread]").isVisible()).toBe(false);
  });

  test("hostile text in every field runs nothing, links nowhere and hides nothing", async () => {
    const page = await open(`/requests/${world.requests.hostile}`);
    expect(
      await page
        .locator("#main img, #main iframe, #main a[href*='evil'], #main script:not(#evidence)")
        .count(),
    ).toBe(0);
    const text = (await page.locator("#main").innerText()) + (await page.title());
    expect(text).not.toMatch(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u001b\u0007]/);
    expect(text).toContain("⟦U+202E⟧");
    expect(text).toContain("⟦mixes Latin and Cyrillic⟧");
    expect(text).toContain("⟦U+001B⟧");
    expect(await page.locator("a", { hasText: "evil" }).count()).toBe(0);
    // A neutralised document is still the document: it can be checked and signed.
    await page.click("[data-open=approve]");
    await page.waitForSelector("#approve [data-submit]:not(:disabled)");
    for (const path of ["/", "/log", `/log?subject=${world.requests.hostile}`]) {
      await page.goto(`${world.origin}${path}`);
      await page.waitForSelector("html[data-ready]");
      expect(await page.locator("#main img, #main iframe, #main a[href*='evil']").count(), path).toBe(0);
    }
  });

  test("the whole path is walked with the keyboard", async () => {
    const id = await ask("shop");
    const page = await open("/");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toContain("Skip to content");
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    for (let i = 0; i < 30; i += 1) {
      await page.keyboard.press("j");
      if ((await page.evaluate("document.activeElement.closest('.row')?.id")) === id) break;
    }
    const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    expect(outline).not.toBe("none");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/requests/${id}`);
    await page.waitForSelector("html[data-ready]");
    await page.keyboard.press("d");
    await page.waitForSelector("dialog#deny[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog#deny:not([open])", { state: "attached" });
    await page.keyboard.press("d");
    for (let i = 0; i < 12; i += 1) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate("document.activeElement.name")) === "reason") break;
    }
    await page.keyboard.type("by keyboard");
    // Letters in a field are letters.
    expect(await page.inputValue("#deny textarea")).toBe("by keyboard");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#status .chip:has-text('Denied')");
  });

  test("shortcuts can be turned off", async () => {
    const page = await open(`/requests/${await ask("shop")}`);
    await page.keyboard.press("?");
    await page.uncheck("#shortcuts-on");
    await page.keyboard.press("Escape");
    await page.keyboard.press("d");
    expect(await page.locator("dialog[open]").count()).toBe(0);
  });

  test("no other page frames it, also one of another port of localhost", async () => {
    const evil = createServer((_request, response) => {
      response.setHeader("content-type", "text/html");
      response.end(`<iframe id=f src="${world.origin}/requests/${world.requests.deploy}"></iframe>`);
    });
    await new Promise<void>((resolve) => evil.listen(0, "localhost", resolve));
    const context = await browser.newContext();
    contexts.push(context);
    await context.addCookies([world.cookie("ben")]);
    const page = await context.newPage();
    await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`);
    await page.waitForTimeout(500);
    const [, frame] = page.frames();
    expect(
      await frame
        ?.locator(".request")
        .count()
        .catch(() => 0),
    ).toBe(0);
    evil.closeAllConnections();
    evil.close();
  });

  test("a change of the policy file appears with its difference, and the words of an error", async () => {
    const page = await open("/policy");
    await page.waitForSelector('[data-live-state="on"]');
    const text = await readFile(world.policyFile, "utf8");
    await writeFile(
      world.policyFile,
      text.replace("quorum: 2, assurance: A3, within: 1h", "quorum: 1, assurance: A3, within: 1h"),
    );
    await page.reload();
    await page.waitForSelector("html[data-ready]");
    expect(await page.locator("#proposal").innerText()).toMatch(/quorum 2 -> 1[\s\S]*weaker/);
    expect(await page.locator('#proposal [data-action="adopt"] button').isVisible()).toBe(true);
    await writeFile(world.policyFile, `${text}\nrulez: []\n`);
    await page.reload();
    expect(await page.locator("#proposal").innerText()).toContain("does not load");
    await writeFile(world.policyFile, text);
  });

  test("without a session every page leads to sign-in and back", async () => {
    const page = await open("/log?kind=policy", { person: null });
    expect(new URL(page.url()).pathname).toBe("/sign-in");
    expect(await page.getAttribute("form[data-action=sign-in]", "data-to")).toBe("/log?kind=policy");
    expect(await page.locator("button", { hasText: "Sign in with a passkey" }).isVisible()).toBe(true);
  });

  test("a printed request shows all of its evidence", async () => {
    const page = await open(`/requests/${world.requests.destroy}`);
    await page.emulateMedia({ media: "print" });
    expect(await page.locator("#fold-document-0 .code-lines > span").last().isVisible()).toBe(true);
    expect(await page.locator("#actions").isVisible()).toBe(false);
  });
});
