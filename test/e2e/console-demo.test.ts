import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { missingBrowser, openBrowser } from "../support/browser.ts";
import { eventually } from "../support/client-matrix.ts";
import { sitDown } from "../support/person-at-browser.ts";
import { missingForMain, PROGRAM } from "../support/real-gateway.ts";

// `npm start`, as somebody new has it: what it prints leads to a page that works.

const missing = missingForMain() ?? missingBrowser();

test.skipIf(missing !== null)(
  "the enrolment link that the demo prints opens, and a browser's virtual authenticator is refused in clear words",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "countersign-console-demo-"));
    const env = { PATH: process.env["PATH"] ?? "", HOME: dir, TMPDIR: dir, NO_COLOR: "1" };
    const listeners = ["--mcp", "127.0.0.1:0", "--api", "localhost:0"];
    const demo = spawn(process.execPath, [PROGRAM, "start", "--demo", ...listeners], { env, cwd: dir });
    const browser = await openBrowser();
    try {
      let said = "";
      demo.stdout.on("data", (chunk) => (said += String(chunk)));
      demo.stderr.on("data", (chunk) => (said += String(chunk)));
      const link = await eventually(() =>
        Promise.resolve(/the link works once[^]*?(http:\S+\/enrol#\S+)/.exec(said)?.[1]),
      );
      const origin = new URL(link).origin;
      expect(said).toContain(`people   ${origin}`);
      const person = await sitDown(browser, origin);
      // Nobody is signed in: every page leads here, and says how to get in.
      await person.go("/policy");
      expect(person.page.url()).toBe(`${origin}/sign-in?next=%2Fpolicy`);
      await person.page.goto("about:blank");
      await person.page.goto(link);
      await person.page.waitForSelector("html[data-ready]");
      expect(await person.page.inputValue("input[name=code]")).toMatch(/^demo\./);
      // The code is in no address that is kept or sent on.
      expect(person.page.url()).toBe(`${origin}/enrol`);
      await person.page.fill("input[name=label]", "laptop");
      await person.page.click("[data-submit]");
      const refused = await person.page.waitForSelector(".sheet-error:not(:empty)");
      expect(await refused.innerText()).toMatch(/may not be enrolled here\. Next: use your phone.*for tests/);
      expect(person.troubles()).toEqual([]);
    } finally {
      await browser.close();
      demo.kill("SIGTERM");
      await new Promise((resolve) => demo.once("exit", resolve));
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
