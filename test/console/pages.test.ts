import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openShowcase, HOSTILE, type Showcase } from "../support/showcase.ts";

// The pages as they are served, without a browser: what is in the bytes can't be put right by a script.

let world: Showcase;
beforeAll(async () => {
  world = await openShowcase();
});
afterAll(() => world.close());

async function get(
  path: string,
  person: string | null = "ben",
): Promise<{ status: number; headers: Headers; html: string }> {
  const cookie = person === null ? {} : { cookie: `session=${world.cookie(person).value}` };
  const response = await fetch(`${world.origin}${path}`, { headers: cookie, redirect: "manual" });
  return { status: response.status, headers: response.headers, html: await response.text() };
}

const paths = (): readonly string[] => [
  "/",
  "/?list=decided",
  ...Object.values(world.requests).map((id) => `/requests/${id}`),
  "/log",
  "/log/12",
  "/policy",
  "/people",
  "/health",
];

describe("every page", () => {
  test("is sent to sign-in without a session, and shows nothing (K1)", async () => {
    for (const path of paths()) {
      const { status, headers, html } = await get(path, null);
      expect(status, path).toBe(303);
      expect(headers.get("location")).toMatch(/^\/sign-in(?:\?next=|$)/);
      expect(html, path).toBe("");
    }
  });

  test("goes on after sign-in to a path of ours only", async () => {
    for (const to of ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"]) {
      const { html } = await get(`/sign-in?next=${encodeURIComponent(to)}`, null);
      expect(html).toContain('data-to="/"');
    }
    expect((await get("/sign-in?next=%2Frequests%2FABC234", null)).html).toContain(
      'data-to="/requests/ABC234"',
    );
  });

  test("carries the headers that keep other code and other pages out", async () => {
    for (const path of [...paths(), "/sign-in", "/enrol", "/nowhere"]) {
      const { headers } = await get(path);
      const csp = headers.get("content-security-policy") ?? "";
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
      ]) {
        if (path !== "/sign-in") expect(csp, path).toContain(part);
      }
      if (path === "/sign-in") continue;
      expect(csp).not.toContain("unsafe");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("permissions-policy")).toContain("publickey-credentials-get=(self)");
    }
  });

  test("holds no inline script or style, no raw hidden character and no link that is not ours (P3)", async () => {
    for (const path of paths()) {
      const { html, status } = await get(path);
      expect(status, path).toBe(200);
      const markup = html.replace(/<script type="application\/json"[^>]*>[^<]*<\/script>/, "");
      expect(markup.match(/<script[^>]*>[^<]/), path).toBeNull();
      expect(markup, path).not.toMatch(/<style|\sstyle=|\son[a-z]+=["'][^"']*alert|<img|<iframe/i);
      expect(html, path).not.toMatch(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff]/,
      );
      for (const [, href] of markup.matchAll(/<a [^>]*href="([^"]*)"/g))
        expect(href, path).toMatch(/^(?:\/(?!\/)|#)/);
    }
  });

  test("serves scripts and styles under names that never change their content", async () => {
    const { html } = await get("/");
    for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
      const { status, headers } = await get(path ?? "", null);
      expect(status).toBe(200);
      expect(headers.get("cache-control")).toContain("immutable");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
    for (const name of ["manifest.json", "..%2fcountersign.js", "main.js", "%00"]) {
      expect((await get(`/assets/${name}`)).status).toBe(404);
    }
  });
});

describe("the request page", () => {
  test("keeps the order that every channel keeps", async () => {
    const { html } = await get(`/requests/${world.requests.destroy}`);
    const order = [
      'data-at="/effectLine"',
      'data-at="/preview/counts/delete"',
      "<dt>Risk</dt>",
      'data-at="/preview/reversible"',
      "Agent <b>claude</b> asks",
      "approval 1 of 2",
      'data-at="/preview/documents/0/body"',
      "Evidence is",
      "prod-deletes-need-two",
      "<dt>Deadline</dt>",
      "<dt>Request code</dt>",
      "Questions to the agent",
      "stated reasoning (unverified)",
      "What happened",
      "Who has to agree",
      'data-open="deny"',
      'data-open="ask"',
      'data-open="approve"',
    ].map((mark) => [mark, html.indexOf(mark)] as const);
    for (const [mark, at] of order) expect(at, mark).toBeGreaterThan(0);
    expect(order.map(([, at]) => at)).toEqual(order.map(([, at]) => at).toSorted((a, b) => a - b));
  });

  test("names what was found in hostile text, and shows it marked", async () => {
    const { html } = await get(`/requests/${world.requests.hostile}`);
    for (const words of [
      "Look closely",
      "change the reading direction",
      "control characters or terminal escapes",
      "words that mix alphabets",
      "invisible characters",
      "long runs of blanks",
      "brackets that imitate our markers",
    ]) {
      expect(html).toContain(words);
    }
    expect(html).toContain("⟦U+202E⟧");
    expect(html).toContain("⟦400 spaces⟧");
    expect(html).toContain("&lt;script&gt;alert(2)&lt;/script&gt;");
    expect(html).not.toContain(HOSTILE.bidi);
  });

  test("offers only deny where not everything could be seen (C4)", async () => {
    const reply = await world.ask("deploy_service", { service: "partial" });
    if (reply.status !== "pending") throw new Error(reply.status);
    const { html } = await get(`/requests/${reply.ticket}`);
    expect(html).toContain("This can only be denied");
    expect(html).toContain('data-open="deny"');
    expect(html).not.toContain('data-open="approve"');
  });

  test("offers nothing to the owner of the agent, and says why (C1)", async () => {
    const { html } = await get(`/requests/${world.requests.own}`);
    expect(html).toContain("You own this agent");
    expect(html).not.toContain('data-open="approve"');
    expect(html).not.toContain('data-open="deny"');
  });

  test("tells somebody without a counting passkey that A3 is needed, and still lets them deny (C3)", async () => {
    const { html } = await get(`/requests/${world.requests.destroy}`, "chi");
    expect(html).toContain("The policy wants A3");
    expect(html).toContain('data-open="deny"');
    expect(html).not.toContain('data-open="approve"');
  });

  test("is found by code and by the beginning of the id, under one address", async () => {
    const { code } = await world.home.requests.find(world.requests.deploy);
    const { status, headers } = await get(`/requests/${code ?? ""}`);
    expect([status, headers.get("location")]).toEqual([303, `/requests/${world.requests.deploy}`]);
    expect((await get("/requests/ZZZZZZ")).status).toBe(404);
  });
});

describe("the log", () => {
  test("is searched, filtered and paged", async () => {
    expect((await get("/log?q=experiment+branch")).html).toContain("Not from an experiment branch");
    expect((await get("/log?q=experiment+branch")).html).not.toContain("The log was opened");
    expect((await get("/log?kind=policy")).html).toContain("A policy was adopted");
    expect((await get("/log?kind=policy")).html).not.toContain("People were asked");
    const { html } = await get(`/log?subject=${world.requests.denied}`);
    expect(html).toContain("chi denied");
    expect(html).not.toContain("ben approved");
    expect((await get("/log?before=3")).html).not.toContain(">#3<");
    expect((await get("/log?q=nothing-says-this")).html).toContain("Nothing fits");
  });

  test("shows one entry with its exact text and its audit path", async () => {
    const { html } = await get("/log/0");
    expect(html).toContain("log.opened");
    expect(html).toContain("Audit path of leaf 0");
    expect((await get("/log/999999")).status).toBe(404);
  });
});

describe("the policy page", () => {
  test("shows each rule in the words of the file", async () => {
    const { html } = await get("/policy");
    expect(html).toContain("policy.yaml, line 19");
    expect(html).toContain("when: preview.counts.delete &gt; 0");
    // The comment above the next rule is not part of the one before.
    expect(html).not.toContain("Deleting is for two");
  });

  test("explains a call, and says what it does not understand", async () => {
    const args = encodeURIComponent('{"workspace":"x"}');
    const counts = encodeURIComponent('{"delete":2}');
    const { html } = await get(
      `/policy?tool=apply_infrastructure&environment=prod&args=${args}&counts=${counts}`,
    );
    expect(html).toContain("needs 2 of");
    expect((await get("/policy?tool=deploy_service&args=%7B")).html).toContain(
      "arguments and counts are JSON",
    );
    expect((await get("/policy?tool=deploy_service&agent=%3Cb%3E")).html).not.toContain("<b>&gt;");
  });
});
