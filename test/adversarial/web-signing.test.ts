import { readFile, writeFile } from "node:fs/promises";
import type { Browser, BrowserContext, Page, Route } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { missingBrowser, openBrowser } from "../support/browser.ts";
import { openShowcase, type Showcase } from "../support/showcase.ts";

// A person signs a policy change that they read on the page. Whoever can write the files, as an agent on a laptop can,
// changes them between the reading and the signing.

let world: Showcase;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let policy: string;
const handedIn: unknown[] = [];

describe.skipIf(missingBrowser() !== null)("a policy change that is being read", () => {
  beforeAll(async () => {
    world = await openShowcase();
    browser = await openBrowser();
    policy = await readFile(world.policyFile, "utf8");
  });
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });
  beforeEach(async () => {
    handedIn.length = 0;
    await writeFile(
      world.policyFile,
      policy.replace("quorum: 2, assurance: A3, within: 1h", "quorum: 1, assurance: A3, within: 1h"),
    );
    context = await browser.newContext();
    await context.addCookies([world.cookie("ben")]);
    page = await context.newPage();
    page.on("request", (request) => {
      if (request.method() === "POST") handedIn.push(request.postDataJSON());
    });
  });
  afterEach(async () => {
    // The page looks again and again; what is under way when it closes is nobody's error.
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
    await writeFile(world.policyFile, policy);
  });
  const open = async (): Promise<void> => {
    await page.goto(`${world.origin}/policy`);
    await page.waitForSelector("html[data-ready]");
  };
  const OTHER = `sha256:${"0".repeat(64)}`;

  test.each([
    ["the services it runs on", (statement: Adoption) => (statement.to.registry = OTHER)],
    ["the policy", (statement: Adoption) => (statement.to.policy = OTHER)],
    ["what it replaces", (statement: Adoption) => (statement.from.policy = OTHER)],
    ["the kind of statement", (statement: Adoption) => (statement.typ = "countersign.decision")],
  ])("is not signed where %s changed since the page was made", async (_what, change) => {
    await page.route("**/api/v1/policy/draft", async (route: Route) => {
      const response = await route.fetch();
      const draft = (await response.json()) as { statement: Adoption };
      change(draft.statement);
      await route.fulfill({ response, json: draft });
    });
    await open();
    await page.click('#proposal [data-action="adopt"] button');
    await page.waitForSelector("#proposal .sheet-error:not(:empty)");
    expect(await page.locator("#proposal .sheet-error").innerText()).toContain("nothing was signed");
    expect(handedIn).toEqual([]);
  });

  test("can't be signed for a moment when it changes under the reader's hand", async () => {
    let isMoved = false;
    await page.route("**/policy", async (route: Route) => {
      const response = await route.fetch();
      const body = await response.text();
      const moved = body.replace(/data-registry="[^"]*"/, `data-registry="${OTHER}"`);
      await route.fulfill({ response, body: isMoved ? moved : body });
    });
    await page.route("**/api/v1/events", async (route: Route) => {
      const body = isMoved ? 'retry: 100\n\nevent: policy\nid: 1\ndata: {"seq":1}\n\n' : "retry: 100\n\n";
      await route.fulfill({ contentType: "text/event-stream", body });
    });
    await open();
    const button = page.locator('#proposal [data-action="adopt"] button');
    expect(await button.isEnabled()).toBe(true);
    isMoved = true;
    await page.waitForSelector(`#proposal form[data-registry="${OTHER}"]`);
    expect(await button.isDisabled()).toBe(true);
    expect(await page.locator("#proposal .sheet-error").innerText()).toContain("changed while you looked");
    await page.waitForSelector("#proposal [data-submit]:not(:disabled)");
    expect(handedIn).toEqual([]);
  });
});

interface Adoption {
  typ: string;
  from: { policy: string };
  to: { policy: string; registry: string };
}
