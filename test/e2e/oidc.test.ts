import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import Provider from "oidc-provider";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OidcSettings } from "../../src/config/settings.ts";
import { openPeopleHost, type PeopleHost } from "../support/people-host.ts";
import { makeWorld, type World } from "../support/world.ts";

// Sign-in by a real OpenID provider that runs in this process, driven as a browser would: every redirect and form.

let provider: Server;
let issuer: string;
let world: World;
let host: PeopleHost;
const SECRET = "a-client-secret-of-the-test";

interface Wish {
  readonly account: string;
  /** Seconds ago that the person signed in there. */
  readonly loginAge?: number;
}
let wish: Wish;

beforeEach(async () => {
  wish = { account: "ben-there" };
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  provider = server;
  await open({});
});
afterEach(async () => {
  await host.close();
  await world.close();
  provider.closeAllConnections();
  await new Promise((resolve) => provider.close(resolve));
});

async function open(more: Partial<OidcSettings>): Promise<void> {
  world = await makeWorld({
    head: "policy_change: { by: [security, sre], quorum: 1, assurance: A2 }",
    people: { ben: `oidc: { issuer: "${issuer}", subject: ben-there }` },
  });
  const clientSecretFile = join(world.root, "secret");
  await writeFile(clientSecretFile, `${SECRET}\n`, { mode: 0o600 });
  const oidc: OidcSettings = {
    issuer,
    clientId: "countersign",
    clientSecretFile,
    scopes: [],
    maxAgeMs: 300_000,
    groupsClaim: "groups",
    requireGroups: [],
    ...more,
  };
  host = await openPeopleHost({ home: world.home, oidc });
  const op = new Provider(issuer, {
    clients: [
      {
        client_id: "countersign",
        client_secret: SECRET,
        redirect_uris: [`${host.origin}/api/v1/auth/oidc/callback`],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ["sub", "groups"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ["test"] },
    interactions: {
      url: (_ctx: unknown, interaction: { readonly uid: string }) => `/interaction/${interaction.uid}`,
    },
    findAccount: (_ctx: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, groups: id === "ben-there" ? ["ops"] : [], email: "ben@example.com" }),
    }),
  });
  const handle = op.callback();
  provider.removeAllListeners("request");
  provider.on("request", (request, response) => {
    const work = async (): Promise<void> => {
      if (request.url?.startsWith("/interaction/") !== true) {
        await handle(request, response);
        return;
      }
      const details = await op.interactionDetails(request, response);
      const grant = new op.Grant({ accountId: wish.account, clientId: "countersign" });
      grant.addOIDCScope("openid");
      const loginTs = Math.floor(Date.now() / 1_000) - (wish.loginAge ?? 0);
      const result =
        details.prompt.name === "login"
          ? { login: { accountId: wish.account, ts: loginTs } }
          : { consent: { grantId: await grant.save() } };
      await op.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
    };
    work().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
}

/** Cookies by origin, as a browser keeps them. */
const createJar = () => {
  const jar = new Map<string, Map<string, string>>();
  return {
    header: (origin: string) =>
      [...(jar.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join("; "),
    take(origin: string, response: Response) {
      for (const line of response.headers.getSetCookie()) {
        const [name = "", value = ""] = (line.split(";")[0] ?? "").split(/=(.*)/s);
        const own = jar.get(origin) ?? new Map<string, string>();
        if (/max-age=0|expires=thu, 01 jan 1970/i.test(line)) own.delete(name);
        else own.set(name, value);
        jar.set(origin, own);
      }
    },
  };
};
type Jar = ReturnType<typeof createJar>;

/** Follows redirects until a page comes; `tamper` may change an address on the way. */
async function follow(
  jar: Jar,
  from: string,
  tamper: (url: URL) => void = () => undefined,
): Promise<Response> {
  let url = new URL(from);
  for (let i = 0; i < 20; i += 1) {
    tamper(url);
    const response = await fetch(url, { redirect: "manual", headers: { cookie: jar.header(url.origin) } });
    jar.take(url.origin, response);
    const next = response.headers.get("location");
    if (next === null) return response;
    url = new URL(next, url);
  }
  throw new Error("too many redirects");
}
const begin = (): string => `${host.origin}/api/v1/auth/oidc?to=/requests/req_1`;
const sessionOf = async (jar: Jar): Promise<unknown> => {
  const response = await fetch(`${host.origin}/api/v1/session`, {
    headers: { cookie: jar.header(host.origin) },
  });
  return ((await response.json()) as { session: unknown }).session;
};
const onWayBack =
  (change: (url: URL) => void) =>
  (url: URL): void => {
    if (url.pathname.endsWith("/auth/oidc/callback")) change(url);
  };

describe("sign-in by an identity provider", () => {
  test("finds the person by issuer and subject, begins a session, and leads on to where they wanted to be", async () => {
    const jar = createJar();
    const response = await follow(jar, begin());
    const text = await response.text();
    expect([response.status, text]).toEqual([
      200,
      expect.stringContaining('content="0;url=/requests/req_1"'),
    ]);
    expect(await sessionOf(jar)).toMatchObject({ person: "ben", method: "oidc" });
    expect(jar.header(host.origin)).not.toContain("oidc");
  });

  test("refuses a subject that the policy does not name, whatever e-mail address it comes with (O2)", async () => {
    wish = { account: "ben" };
    const jar = createJar();
    const response = await follow(jar, begin());
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("nobody in the running policy is &quot;ben&quot;");
    expect(await sessionOf(jar)).toBeNull();
  });

  test("refuses another state, another browser's way back, and a way back that was used (O3)", async () => {
    const jar = createJar();
    const wrong = await follow(
      jar,
      begin(),
      onWayBack((url) => url.searchParams.set("state", "other")),
    );
    expect(wrong.status).toBe(403);
    expect(await wrong.text()).toContain("was not accepted");
    let back = "";
    const first = createJar();
    await follow(
      first,
      begin(),
      onWayBack((url) => void (back = url.href)),
    );
    for (const other of [createJar(), first]) {
      const again = await follow(other, back);
      expect([again.status, await again.text()]).toEqual([
        403,
        expect.stringContaining("not begun in this browser"),
      ]);
    }
    expect(await sessionOf(jar)).toBeNull();
  });

  test("refuses an answer with another nonce, or to another challenge", async () => {
    for (const name of ["nonce", "code_challenge"]) {
      const jar = createJar();
      const response = await follow(jar, begin(), (url) => {
        if (url.origin === issuer && url.pathname === "/auth" && url.searchParams.has(name)) {
          url.searchParams.set(name, "A".repeat(43));
        }
      });
      expect([name, response.status]).toEqual([name, 403]);
      expect(await sessionOf(jar)).toBeNull();
    }
  });

  test("refuses a login that is too old at the provider, even where the provider lets it pass (O4)", async () => {
    wish = { account: "ben-there", loginAge: 3_600 };
    const jar = createJar();
    const response = await follow(jar, begin(), (url) => {
      // A provider that ignores max_age.
      if (url.origin === issuer && url.pathname === "/auth") url.searchParams.delete("max_age");
    });
    expect(response.status).toBe(403);
    expect(await sessionOf(jar)).toBeNull();
  });

  test("gives a session no newer than the login at the provider (O4)", async () => {
    wish = { account: "ben-there", loginAge: 200 };
    const jar = createJar();
    await follow(jar, begin());
    const session = (await sessionOf(jar)) as { signed_in_at: string };
    expect(Date.now() - Date.parse(session.signed_in_at)).toBeGreaterThanOrEqual(199_000);
  });

  test("bars whoever has none of the groups that may sign in, and lets nobody in by a group (O5)", async () => {
    await host.close();
    await world.close();
    await open({ requireGroups: ["ops"] });
    expect((await follow(createJar(), begin())).status).toBe(200);
    await host.close();
    await world.close();
    await open({ requireGroups: ["admins"] });
    const barred = await follow(createJar(), begin());
    expect([barred.status, await barred.text()]).toEqual([403, expect.stringContaining("groups")]);
  });

  test("says what is wrong where the provider can't be reached", async () => {
    provider.removeAllListeners("request");
    provider.on("request", (_request, response) => response.writeHead(503).end());
    const response = await follow(createJar(), begin());
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining("can&#39;t be asked"),
    ]);
  });
});
