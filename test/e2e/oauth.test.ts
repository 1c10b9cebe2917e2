import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import {
  Client,
  ClientCredentialsProvider,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  type StoredOAuthTokens,
} from "@modelcontextprotocol/client";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  CALLBACK,
  openAuthorizationServer,
  PUBLIC_CLIENT,
  SERVICE,
  type AuthorizationServer,
} from "../support/authorization-server.ts";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import {
  missingForMain,
  openRealHome,
  type PolicyFacts,
  type RealHome,
  type RunningGateway,
} from "../support/real-gateway.ts";

// The built gateway as a resource server, an authorization server that nobody here wrote, and the MCP SDK's own client
// between them: from our 401 over sign-in to a call, a step-up, an approval and its result.

const missing = missingForMain();
let as: AuthorizationServer;
let home: RealHome;
let gateway: RunningGateway;
let resource: string;
/** Every token that was issued: none of them may ever be found. */
const issued: string[] = [];

const policy =
  (issuer: string) =>
  ({ account, ben, chi }: PolicyFacts): string => `version: 1
people:
  ana: { name: Ana Ruiz, os: ["${account}"], oidc: { issuer: "${issuer}", subject: ana-there } }
  ben: { name: Ben Oduya, ssh: ["${ben}"], oidc: { issuer: "${issuer}", subject: ben-there } }
  chi: { name: Chi Tran, ssh: ["${chi}"] }
groups: { sre: [ben, chi] }
agents:
  claude: { owners: [ana], oidc: { issuer: "${issuer}", client_id: ${PUBLIC_CLIENT} } }
  worker: { owners: [ana], oidc: { issuer: "${issuer}", subject: worker-1 } }
  pipeline: { owners: [ana], oidc: { issuer: "${issuer}", client_id: ${SERVICE.id} } }
services: { ci: { oidc: { issuer: "${issuer}", subject: ${SERVICE.id} } } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 2, assurance: A2 }
rules:
  - { id: prod, match: { tool: deploy_service, environment: prod }, verdict: hold, because: looked at }
  - { id: lab, match: { tool: deploy_service, environment: lab }, verdict: allow }
`;

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** A host's store of what it was given: in memory, as an application keeps it. */
function createHost(): OAuthClientProvider & { sentTo: URL | null; tokensSaved: StoredOAuthTokens[] } {
  let verifier = "";
  let discovered: OAuthDiscoveryState | undefined;
  const host = {
    sentTo: null as URL | null,
    tokensSaved: [] as StoredOAuthTokens[],
    redirectUrl: CALLBACK,
    clientMetadata: {
      redirect_uris: [CALLBACK],
      token_endpoint_auth_method: "none",
      client_name: "test host",
    },
    clientInformation: () => ({ client_id: PUBLIC_CLIENT, issuer: as.issuer }),
    tokens: () => host.tokensSaved.at(-1),
    saveTokens: (tokens: StoredOAuthTokens) => {
      issued.push(tokens.access_token, ...(tokens.refresh_token === undefined ? [] : [tokens.refresh_token]));
      host.tokensSaved.push(tokens);
    },
    redirectToAuthorization: (url: URL) => void (host.sentTo = url),
    discoveryState: () => discovered,
    saveDiscoveryState: (state: OAuthDiscoveryState) => void (discovered = state),
    saveCodeVerifier: (text: string) => void (verifier = text),
    codeVerifier: () => verifier,
  };
  return host;
}
type Host = ReturnType<typeof createHost>;

const transportOf = (host: OAuthClientProvider): StreamableHTTPClientTransport =>
  new StreamableHTTPClientTransport(new URL(resource), { authProvider: host });
const newClient = (): Client =>
  new Client({ name: "oauth-test", version: "1" }, { versionNegotiation: { mode: "auto" } });

/** Does what it is sent to do, in a browser, and brings the code back. */
async function signIn(host: Host, transport: StreamableHTTPClientTransport): Promise<URL> {
  const sentTo = host.sentTo as URL;
  const back = await as.browse(sentTo);
  await transport.finishAuth(back.searchParams);
  return sentTo;
}

/** A client that is signed in as somebody. */
async function connect(account: string, act?: object): Promise<{ client: Client; host: Host; first: URL }> {
  as.wish.account = account;
  if (act === undefined) delete as.wish.act;
  else as.wish.act = act;
  const host = createHost();
  const before = transportOf(host);
  await expect(newClient().connect(before)).rejects.toThrow(UnauthorizedError);
  const first = await signIn(host, before);
  const client = newClient();
  await client.connect(transportOf(host));
  return { client, host, first };
}

const call = async (client: Client, name: string, args: Record<string, unknown>) => {
  const result = await client.callTool({ name, arguments: args });
  return {
    text: JSON.stringify(result.content),
    data: (result.structuredContent ?? {}) as Record<string, unknown>,
  };
};
const deploy = (client: Client, service: string, ref = "main") =>
  call(client, "deploy_service", { service, ref, justification: "the release is due" });

describe.skipIf(missing !== null)(missing ?? "access tokens at the built gateway", () => {
  beforeAll(async () => {
    const port = await freePort();
    resource = `http://127.0.0.1:${port}/mcp`;
    as = await openAuthorizationServer(resource);
    home = await openRealHome({
      hold: "1s",
      policy: policy(as.issuer),
      config: `oauth:
  resource: ${resource}
  issuers: [{ issuer: "${as.issuer}" }]
`,
    });
    gateway = await home.start({ env: { COUNTERSIGN_MCP: `127.0.0.1:${port}` } });
  }, 120_000);
  afterAll(async () => {
    const ended = await gateway.stop();
    await home.demandVerified();
    await home.close();
    await as.close();
    expect(ended).toBe(0);
  });
  beforeEach(() => {
    as.wish.account = "ana-there";
    delete as.wish.act;
  });

  test("a client finds its way from our 401 to a token for us, and its call is its person's (C1)", async () => {
    const { client, first } = await connect("ana-there");
    // RFC 8707, and no more scopes than the challenge asked for.
    expect(first.searchParams.get("resource")).toBe(resource);
    expect(first.searchParams.get("scope")).toBe("countersign:read countersign:write");
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain("deploy_service");
    expect((await deploy(client, "lab")).data).toMatchObject({ status: "done" });
    const received = home
      .entries()
      .filter((entry) => entry.kind === "request.received")
      .at(-1);
    expect(received?.data.requester).toEqual({
      principal: { kind: "person", id: "ana" },
      agent: "claude",
      owners: ["ana"],
      chain: [],
    });
    await client.close();
  });

  test("a held call is approved by somebody else, and its ticket is nobody's but its requester's (R1)", async () => {
    const { client } = await connect("ana-there");
    const pending = await deploy(client, "web");
    expect(pending.data).toMatchObject({ status: "pending" });
    const ticket = String(pending.data["ticket"]);
    // The same agent for somebody else.
    const { client: bens } = await connect("ben-there");
    expect((await call(bens, "countersign_wait", { ticket })).data).toMatchObject({ code: "unknown_ticket" });
    expect((await call(bens, "countersign_withdraw", { ticket })).data).toMatchObject({
      code: "unknown_ticket",
    });
    expect((await home.approve(ticket, "ben")).code).toBe(0);
    expect((await call(client, "countersign_wait", { ticket })).data).toMatchObject({ status: "done" });
    await Promise.all([client.close(), bens.close()]);
  });

  test("who stands in the act chain may not decide: a person who acts through an agent of theirs (C1)", async () => {
    const { client } = await connect("ana-there", { sub: "worker-1", act: { sub: "ben-there" } });
    home.source.git("branch", "chained");
    const pending = await deploy(client, "web", "chained");
    const ticket = String(pending.data["ticket"]);
    const refused = await home.approve(ticket, "ben");
    expect([refused.code, refused.out + refused.err]).toEqual([1, expect.stringContaining("self_approval")]);
    expect((await call(client, "countersign_wait", { ticket })).data).toMatchObject({ status: "pending" });
    expect((await home.approve(ticket, "chi")).code).toBe(0);
    expect((await call(client, "countersign_wait", { ticket })).data).toMatchObject({ status: "done" });
    const received = home
      .entries()
      .filter((entry) => entry.kind === "request.received")
      .at(-1);
    expect(received?.data.requester).toMatchObject({
      agent: "worker",
      chain: ["ben", "agent:claude", "ana"],
    });
    await client.close();
  });

  test("somebody whom the policy does not know is told which lines an operator adds (C1)", async () => {
    const { client } = await connect("eve-there");
    const { data, text } = await deploy(client, "lab");
    expect(data).toMatchObject({ status: "refused", code: "unknown_requester" });
    expect(text).toContain(
      `oidc: { issuer: \\\\\\"${as.issuer}\\\\\\", subject: \\\\\\"eve-there\\\\\\" }`.replaceAll(
        "\\\\\\",
        "\\",
      ),
    );
    await client.close();
  });

  test("a token that may only read is stepped up by the SDK's client, and the call goes on", async () => {
    const { client, host } = await connect("ana-there");
    await client.close();
    // What a client keeps that asked for less.
    const less = createHost();
    as.wish.grants = ["countersign:read"];
    const first = transportOf(less);
    await expect(newClient().connect(first)).rejects.toThrow(UnauthorizedError);
    await signIn(less, first);
    expect(less.tokensSaved.at(-1)?.scope).toBe("countersign:read");
    const transport = transportOf(less);
    const reader = newClient();
    await reader.connect(transport);
    as.wish.grants = ["countersign:read", "countersign:write"];
    less.sentTo = null;
    await expect(deploy(reader, "lab")).rejects.toThrow(UnauthorizedError);
    const asked = await signIn(less, transport);
    expect(new Set(asked.searchParams.get("scope")?.split(" "))).toEqual(
      new Set(["countersign:read", "countersign:write"]),
    );
    expect((await deploy(reader, "lab")).data).toMatchObject({ status: "done" });
    await reader.close();
    expect(host.tokensSaved.length).toBeGreaterThan(0);
  });

  test("a service with credentials of its own steps up by itself", async () => {
    const provider = new ClientCredentialsProvider({
      clientId: SERVICE.id,
      clientSecret: SERVICE.secret,
      scope: "countersign:read",
      expectedIssuer: as.issuer,
    });
    const save = provider.saveTokens.bind(provider);
    provider.saveTokens = (tokens) => {
      issued.push(tokens.access_token);
      return save(tokens);
    };
    const client = newClient();
    await client.connect(transportOf(provider));
    expect((await deploy(client, "lab")).data).toMatchObject({ status: "done" });
    const received = home
      .entries()
      .filter((entry) => entry.kind === "request.received")
      .at(-1);
    expect(received?.data.requester).toMatchObject({
      principal: { kind: "service", id: "ci" },
      agent: "pipeline",
    });
    await client.close();
  });

  test.each(CLIENT_KINDS.filter(({ over }) => over === "http").map((kind) => [kind.name, kind] as const))(
    "%s calls with a bearer token that it was given",
    async (_, kind) => {
      const token = await as.clientToken(SERVICE, "countersign:read countersign:write");
      issued.push(token);
      const client = await kind.connect({ kind: "http", url: resource, token });
      expect((await client.call("deploy_service", { service: "lab", ref: "main" })).data).toMatchObject({
        status: "done",
      });
      await client.close();
    },
  );

  const post = (token: string | null, body: object, path = ""): Promise<Response> =>
    fetch(`${resource}${path}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    });
  const toolCall = {
    jsonrpc: "2.0",
    id: 7,
    method: "tools/call",
    params: { name: "deploy_service", arguments: { service: "lab", ref: "main" } },
  };

  test("challenges and metadata are what RFC 9728 and RFC 6750 say", async () => {
    const { origin } = new URL(resource);
    const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
    const unknown = await post(null, toolCall);
    expect([unknown.status, unknown.headers.get("www-authenticate")]).toEqual([
      401,
      `Bearer realm="countersign", scope="countersign:read countersign:write", resource_metadata="${metadata}"`,
    ]);
    for (const url of [metadata, `${origin}/.well-known/oauth-protected-resource`]) {
      const response = await fetch(url);
      expect([response.status, response.headers.get("content-type"), await response.json()]).toEqual([
        200,
        "application/json",
        {
          resource,
          authorization_servers: [as.issuer],
          bearer_methods_supported: ["header"],
          scopes_supported: [
            "countersign:read",
            "countersign:write",
            "countersign:destructive",
            "countersign:privilege",
          ],
          resource_name: "Countersign",
        },
      ]);
    }
    const read = await as.clientToken(SERVICE, "countersign:read");
    issued.push(read);
    const beyond = await post(read, toolCall);
    expect([beyond.status, beyond.headers.get("www-authenticate")]).toEqual([
      403,
      `Bearer realm="countersign", error="insufficient_scope", error_description="a write needs its own scope", scope="countersign:read countersign:write", resource_metadata="${metadata}"`,
    ]);
    expect(await beyond.json()).toMatchObject({
      id: 7,
      error: {
        message: expect.stringContaining("insufficient_scope") as string,
        data: { status: "refused", code: "insufficient_scope" },
      },
    });
    // What needs no scope of that effect is served.
    expect((await post(read, { jsonrpc: "2.0", id: 8, method: "tools/list" })).status).toBe(200);
  });

  test("tokens of this very server for another resource, and changed ones, are refused, without an echo", async () => {
    const token = await as.clientToken(SERVICE, "countersign:read countersign:write");
    const [header, payload, signature] = token.split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    const changed = Buffer.from(JSON.stringify({ ...claims, sub: "ana-there" })).toString("base64url");
    issued.push(token, `${header}.${changed}.${signature}`);
    const elsewhere = await as.clientToken(SERVICE, "countersign:read", "https://else.example.com/mcp");
    issued.push(elsewhere);
    for (const bad of [
      elsewhere,
      `${header}.${changed}.${signature}`,
      `${header}.${payload}.${signature}x`,
      "csm_nonsense-that-is-long-enough",
    ]) {
      const answer = await post(bad, toolCall);
      const text = await answer.text();
      expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([
        401,
        expect.stringContaining('error="invalid_token"'),
      ]);
      expect(text + JSON.stringify([...answer.headers])).not.toContain(bad.slice(-20));
    }
    // Not in the address either, where it would end in logs.
    expect((await post(null, toolCall, `?access_token=${token}`)).status).toBe(404);
  });

  test("static tokens go on working beside them", async () => {
    const { token } = home.http(gateway);
    expect((await post(token, { jsonrpc: "2.0", id: 1, method: "tools/list" })).status).toBe(200);
  });

  test("no token is anywhere: not in the home, its log and documents, nor in what the gateway said", () => {
    expect(issued.length).toBeGreaterThan(8);
    const files = (dir: string): string[] =>
      readdirSync(dir).flatMap((name) => {
        const path = join(dir, name);
        return statSync(path).isDirectory() ? files(path) : [path];
      });
    const everything = files(home.home).map((path) => readFileSync(path).toString("latin1"));
    everything.push(gateway.said());
    for (const token of issued) {
      // Neither whole nor its signature, which alone would complete a known payload.
      for (const part of [token, token.split(".").at(-1) as string])
        expect(everything.filter((text) => text.includes(part))).toEqual([]);
    }
  });
});
