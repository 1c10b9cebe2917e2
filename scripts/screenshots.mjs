// Pictures of the console for README and docs: a home as a team would have it, looked at by a real browser.
//
//   npm run screenshots              the few that the docs use, into docs/screenshots
//   npm run screenshots -- --all DIR every page at both widths in both themes, to look at while working on them
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { openBrowser } from "../test/support/browser.ts";
import { openShowcase } from "../test/support/showcase.ts";

const all = process.argv.indexOf("--all");
const directory = all < 0 ? "docs/screenshots" : (process.argv[all + 1] ?? "screenshots");
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 860 } };

await mkdir(directory, { recursive: true });
const showcase = await openShowcase({ port: 7332, isolation: all < 0 ? "service" : "none" });
const browser = await openBrowser();

async function shoot(name, path, { size, theme, person = "ben", act, full = all >= 0 }) {
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: theme,
    deviceScaleFactor: all < 0 && size === "phone" ? 1.5 : 1,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "Europe/Madrid",
  });
  if (person !== null) await context.addCookies([showcase.cookie(person)]);
  const page = await context.newPage();
  await page.goto(`${showcase.origin}${path}`);
  await page.waitForSelector("html[data-ready]");
  await page.waitForTimeout(150);
  await act?.(page);
  const file = join(directory, `${name}.png`);
  await page.screenshot({ path: file, fullPage: full });
  const { size: bytes } = await stat(file);
  process.stdout.write(`${file} ${Math.round(bytes / 1024)} KiB\n`);
  await context.close();
}

const { requests } = showcase;
const press = (selector) => async (page) => {
  await page.click(selector);
  await page.waitForTimeout(300);
};

if (all < 0) {
  await shoot("inbox", "/", { size: "desk", theme: "light" });
  await shoot("inbox-phone", "/", { size: "phone", theme: "dark" });
  await shoot("request", `/requests/${requests.destroy}`, { size: "desk", theme: "light" });
  await shoot("request-phone", `/requests/${requests.deploy}`, { size: "phone", theme: "light" });
  await shoot("sign-phone", `/requests/${requests.deploy}`, {
    size: "phone",
    theme: "light",
    act: press('[data-open="approve"]'),
  });
  await shoot("hostile", `/requests/${requests.hostile}`, { size: "desk", theme: "light" });
  await shoot("log", "/log", { size: "desk", theme: "dark" });
  await shoot("policy", "/policy?tool=deploy_service&environment=prod#explain", {
    size: "desk",
    theme: "light",
  });
} else {
  const pages = {
    inbox: { path: "/" },
    empty: { path: "/", person: "ana" },
    destroy: { path: `/requests/${requests.destroy}` },
    deploy: { path: `/requests/${requests.deploy}` },
    approve: { path: `/requests/${requests.deploy}`, act: press('[data-open="approve"]'), full: false },
    deny: { path: `/requests/${requests.deploy}`, act: press('[data-open="deny"]'), full: false },
    hostile: { path: `/requests/${requests.hostile}` },
    unknown: { path: `/requests/${requests.unknown}` },
    done: { path: `/requests/${requests.done}` },
    denied: { path: `/requests/${requests.denied}` },
    own: { path: `/requests/${requests.own}` },
    log: { path: "/log" },
    entry: { path: "/log/12" },
    policy: { path: "/policy?tool=deploy_service&environment=prod" },
    people: { path: "/people" },
    health: { path: "/health" },
    "sign-in": { path: "/sign-in", person: null },
    enrol: { path: "/enrol", person: null },
    missing: { path: "/nowhere" },
  };
  const only = process.argv[all + 2]?.split(",") ?? Object.keys(pages);
  for (const name of only) {
    const { path, person, act, full } = pages[name];
    for (const size of ["phone", "desk"]) {
      for (const theme of ["light", "dark"]) {
        await shoot(`${name}-${size}-${theme}`, path, {
          size,
          theme,
          ...(person === undefined ? {} : { person }),
          ...(act ? { act } : {}),
          ...(full === undefined ? {} : { full }),
        });
      }
    }
  }
}
await browser.close();
await showcase.close();
