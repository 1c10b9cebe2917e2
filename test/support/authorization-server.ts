import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

// A real authorization server (oidc-provider) that issues JWT access tokens for one resource, and what a person does in a
// browser there: every redirect and form is followed, and who signs in is the test's wish.

export interface AuthorizationServer {
  readonly issuer: string;
  /** Who signs in next, what they grant, and who acts for them in the tokens made next. */
  readonly wish: { account: string; act?: object; grants: readonly string[] };
  /** A browser at this address; gives the address it is sent back to. */
  browse(authorization: URL): Promise<URL>;
  /** A token by client credentials. */
  clientToken(
    client: { readonly id: string; readonly secret: string },
    scope: string,
    elsewhere?: string,
  ): Promise<string>;
  close(): Promise<void>;
}

export const SCOPES = ["read", "write", "destructive", "privilege"].map((effect) => `countersign:${effect}`);
export const CALLBACK = "http://localhost:9/callback";
export const SERVICE = { id: "ci-app", secret: "a-client-secret-of-the-test" } as const;
export const PUBLIC_CLIENT = "desktop-app";

export async function openAuthorizationServer(resource: string): Promise<AuthorizationServer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const wish: AuthorizationServer["wish"] = { account: "ana-there", grants: SCOPES };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: PUBLIC_CLIENT,
        token_endpoint_auth_method: "none",
        application_type: "native",
        redirect_uris: [CALLBACK],
        response_types: ["code"],
        grant_types: ["authorization_code", "refresh_token"],
      },
      {
        client_id: SERVICE.id,
        client_secret: SERVICE.secret,
        redirect_uris: [],
        response_types: [],
        grant_types: ["client_credentials"],
      },
    ],
    scopes: ["openid", "offline_access"],
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx: unknown, indicator: string) => ({
          scope: SCOPES.join(" "),
          // RFC 8707: whatever a client asks for is the token's audience.
          audience: indicator,
          accessTokenTTL: 300,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    extraTokenClaims: () => (wish.act === undefined ? {} : { act: wish.act }),
    cookies: { keys: ["test"] },
    interactions: {
      url: (_ctx: unknown, interaction: { readonly uid: string }) => `/interaction/${interaction.uid}`,
    },
    findAccount: (_ctx: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  const handle = provider.callback();
  server.on("request", (request, response) => {
    const work = async (): Promise<void> => {
      if (request.url?.startsWith("/interaction/") !== true) return handle(request, response);
      const details = await provider.interactionDetails(request, response);
      const grant = new provider.Grant({ accountId: wish.account, clientId: PUBLIC_CLIENT });
      grant.addOIDCScope("openid offline_access");
      grant.addResourceScope(resource, wish.grants.join(" "));
      grant.rejectResourceScope(resource, SCOPES.filter((scope) => !wish.grants.includes(scope)).join(" "));
      const result =
        details.prompt.name === "login"
          ? { login: { accountId: wish.account } }
          : { consent: { grantId: await grant.save() } };
      return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
    };
    work().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  return {
    issuer,
    wish,
    async browse(authorization) {
      const cookies = new Map<string, string>();
      let url = authorization;
      for (let i = 0; i < 20; i += 1) {
        if (url.href.startsWith(CALLBACK)) return url;
        const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
        const response = await fetch(url, { redirect: "manual", headers: { cookie } });
        for (const line of response.headers.getSetCookie()) {
          const [name = "", value = ""] = (line.split(";")[0] ?? "").split(/=(.*)/s);
          cookies.set(name, value);
        }
        const next = response.headers.get("location");
        if (next === null) throw new Error(`the browser stays at ${url.href}: ${await response.text()}`);
        url = new URL(next, url);
      }
      throw new Error("too many redirects");
    },
    async clientToken({ id, secret }, scope, elsewhere = resource) {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}` },
        body: new URLSearchParams({ grant_type: "client_credentials", scope, resource: elsewhere }),
      });
      const answer = (await response.json()) as { access_token?: string };
      if (answer.access_token === undefined) throw new Error(JSON.stringify(answer));
      return answer.access_token;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
