import type { Browser, BrowserContext, Page } from "playwright-core";
import { addAuthenticator, watchPage, type Authenticator } from "./browser.ts";

// A person at a browser of their own: their cookies, their authenticator, and nothing but the pages to act with.

export interface PersonAtBrowser {
  readonly page: Page;
  readonly context: BrowserContext;
  authenticator: Authenticator;
  /** What the page did that no page of ours may do, but for answers that a test expects to be refused. */
  readonly troubles: () => readonly string[];
  /** Opens a path of the gateway and waits until the page acts. */
  go(path: string): Promise<void>;
  /** Enrols with a one-time link and waits until signed in. */
  enrol(link: string, label: string): Promise<void>;
  /** One more tab of the same person, without an authenticator. */
  tab(path: string): Promise<Page>;
  close(): Promise<void>;
}

// Chromium says this itself: of every answer that is a problem document, and of what a test lets fail.
const EXPECTED =
  /^console: Failed to load resource: (the server responded with a status of 4\d\d|net::ERR_FAILED)/;

export async function sitDown(browser: Browser, origin: string): Promise<PersonAtBrowser> {
  const context = await browser.newContext();
  const watched: { readonly troubles: readonly string[] }[] = [];
  const open = async (): Promise<Page> => {
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    watched.push(watchPage(page, origin));
    return page;
  };
  const ready = async (page: Page, path: string): Promise<void> => {
    await page.goto(`${origin}${path}`);
    await page.waitForSelector("html[data-ready]");
  };
  const page = await open();
  const person: PersonAtBrowser = {
    page,
    context,
    authenticator: await addAuthenticator(page),
    troubles: () => watched.flatMap(({ troubles }) => troubles).filter((line) => !EXPECTED.test(line)),
    go: (path) => ready(page, path),
    async enrol(link, label) {
      // A link is opened by a person as it is: its code stands behind the #.
      await page.goto("about:blank");
      await page.goto(link);
      await page.waitForSelector("html[data-ready]");
      await page.fill('input[name="label"]', label);
      await page.click("[data-submit]");
      await page.waitForURL(`${origin}/`);
      await page.waitForSelector("html[data-ready]");
    },
    async tab(path) {
      const other = await open();
      await ready(other, path);
      return other;
    },
    close: () => context.close(),
  };
  return person;
}
