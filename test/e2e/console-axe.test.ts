import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missingBrowser, openBrowser } from "../support/browser.ts";
import { openShowcase, type Showcase } from "../support/showcase.ts";

// Every page and every sheet, in both themes and at both widths, through axe-core.

const missing = missingBrowser();
let world: Showcase;
let browser: Browser;
let axe: string;

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

describe.skipIf(missing !== null)(missing ?? "axe finds no serious or critical issue", () => {
  beforeAll(async () => {
    world = await openShowcase({ isolation: "none" });
    browser = await openBrowser();
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  });
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });

  const pages = (): Readonly<
    Record<string, { readonly path: string; readonly person?: string | null; readonly press?: string }>
  > => {
    const { requests } = world;
    return {
      inbox: { path: "/" },
      "an empty inbox": { path: "/", person: "ana" },
      "a request to destroy": { path: `/requests/${requests.destroy}` },
      "a deploy": { path: `/requests/${requests.deploy}` },
      "hostile text": { path: `/requests/${requests.hostile}` },
      "an unknown outcome": { path: `/requests/${requests.unknown}` },
      "a denied request": { path: `/requests/${requests.denied}` },
      "one's own request": { path: `/requests/${requests.own}` },
      "the approve sheet": { path: `/requests/${requests.deploy}`, press: "[data-open=approve]" },
      "the deny sheet": { path: `/requests/${requests.deploy}`, press: "[data-open=deny]" },
      "the ask sheet": { path: `/requests/${requests.deploy}`, press: "[data-open=ask]" },
      log: { path: "/log" },
      "a log entry": { path: "/log/8" },
      policy: { path: "/policy?tool=deploy_service&environment=prod" },
      people: { path: "/people" },
      health: { path: "/health" },
      "sign-in": { path: "/sign-in", person: null },
      enrol: { path: "/enrol", person: null },
      "an error": { path: "/nowhere" },
    };
  };

  for (const theme of ["light", "dark"] as const) {
    for (const [width, height] of [
      [390, 844],
      [1280, 860],
    ] as const) {
      test(`${theme}, ${width} px wide`, { timeout: 240_000 }, async () => {
        for (const [name, { path, person = "ben", press }] of Object.entries(pages())) {
          const context = await browser.newContext({
            colorScheme: theme,
            viewport: { width, height },
            reducedMotion: "reduce",
          });
          if (person !== null) await context.addCookies([world.cookie(person)]);
          const page = await context.newPage();
          await page.goto(`${world.origin}${path}`);
          await page.waitForSelector("html[data-ready]");
          if (press !== undefined) await page.click(press);
          if (press === "[data-open=approve]") await page.waitForSelector("#approve .check-good");
          await page.evaluate(axe);
          const result = await page.evaluate<AxeResult>("axe.run({ resultTypes: ['violations'] })");
          const grave = result.violations.filter(
            ({ impact }) => impact === "serious" || impact === "critical",
          );
          const told = grave.map(
            ({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""} ${nodes[0]?.failureSummary ?? ""}`,
          );
          expect(told, name).toEqual([]);
          // A page that scrolls sideways hides what is on its right.
          const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
          expect(overflow, `${name} is wider than the screen`).toBeLessThanOrEqual(0);
          await context.close();
        }
      });
    }
  }
});
