import { afterAll, beforeAll, expect, test } from "vitest";
import { openShowcase, type Showcase } from "../support/showcase.ts";

// Calls that are refused never had a view, so nothing of them came through the evidence: names of tools, agents and
// principals, and what a person's own address bar says, reach the pages raw. In the bytes that are served there is
// nothing that hides, turns or acts (P3).

const NASTY = "x\u202Eevil\u200B</title><script>alert(1)</script>\u001B[31m\u2066аdmin";
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

let world: Showcase;
const made: string[] = [];
beforeAll(async () => {
  world = await openShowcase();
  const tries = [
    world.ask(NASTY, {}),
    world.ask("deploy_service", { service: "shop", ref: "a" }, { agent: NASTY }),
    world.ask("deploy_service", { service: "shop", ref: "b" }, { principal: NASTY }),
    world.ask("deploy_service", { service: NASTY, ref: NASTY, [NASTY]: NASTY }),
    world.ask("deploy_service", { service: "shop", ref: "c" }, { client: { name: NASTY, version: NASTY } }),
  ];
  for (const reply of await Promise.all(tries)) {
    const id = reply.status === "pending" ? reply.ticket : reply.request;
    if (id !== null) made.push(id);
  }
});
afterAll(() => world.close());

const get = async (path: string) => {
  const headers = { cookie: `session=${world.cookie("ben").value}` };
  const response = await fetch(`${world.origin}${path}`, { headers, redirect: "manual" });
  return { status: response.status, html: await response.text() };
};
const word = encodeURIComponent(NASTY);

test("on no page, for a refused call, its requester, or what the reader's own address says", async () => {
  expect(made.length).toBeGreaterThan(2);
  const paths = [
    ...["/", "/?list=decided", `/?list=${word}`, "/log", "/people", "/health"],
    ...made.flatMap((id) => [`/requests/${id}`, `/log?subject=${id}`]),
    ...[`/log?q=${word}`, `/log?subject=${word}`, `/log?kind=${word}`, `/requests/${word}`, `/${word}`],
    ...[`/sign-in?next=${word}`, `/enrol?code=${word}`, `/assets/${word}`],
    ...["tool", "environment", "agent", "principal", "args", "preview", "effect"].map(
      (field) => `/policy?${field}=${word}`,
    ),
    `/policy?tool=${word}&environment=${word}&agent=${word}&principal=${word}&args=${word}`,
    `/policy?tool=deploy_service&args=${encodeURIComponent(JSON.stringify({ a: NASTY }))}`,
  ];
  for (const path of paths) {
    const { status, html } = await get(path);
    expect(status, path).toBeLessThan(500);
    // A field gives back what its reader typed into it, and to nobody else.
    const said = html.replaceAll(/ value="[^"]*"/g, "").replaceAll(/(<textarea[^>]*>)[^<]*/g, "$1");
    const around = [...said.matchAll(HIDDEN)].map(({ index }) => said.slice(Math.max(0, index - 60), index));
    expect.soft(around, path).toEqual([]);
    expect.soft(html, path).not.toContain("<script>alert");
  }
});
