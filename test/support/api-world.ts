import pino from "pino";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { systemClock } from "../../src/base/clock.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import type { AdoptionStatement } from "../../src/policy/entries.ts";
import type { Statement } from "../../src/consent/statement.ts";
import { SCOPES, type Scope, type TokenActor } from "../../src/transport/http/actor.ts";
import { startApi, type Api, type ApiParts } from "../../src/transport/http/api.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { createApiClient, createSessionTable, type ApiClient, type SessionTable } from "./api-client.ts";
import { makeWorld, sign, type World, type WorldOptions } from "./world.ts";

// A whole home behind its people's listener: tokens of every kind, sessions of anybody, the real gate and desk.

export interface ApiWorld {
  readonly world: World;
  readonly api: Api;
  readonly sessions: SessionTable;
  readonly url: string;
  /** The token in the clear, for what is not asked through a client. */
  readonly tokens: Readonly<Record<TokenName, string>>;
  as(token: TokenName): ApiClient;
  /** Signs in as a person now. */
  signedIn(person: string, at?: number): ApiClient & { readonly cookie: string; readonly id: string };
  /** A signed decision, ready to be handed in. */
  decision(ref: string, person: string, decision: string, more?: string): Promise<object>;
  adoption(person: string): Promise<object>;
  close(): Promise<void>;
}

const ACTS = {
  /** ana's agent, as over MCP. */
  claude: { principal: "ana", agent: "claude" },
  /** A Jenkins job: a service account and an agent that eva owns. */
  jenkins: { principal: "ci", agent: "robot" },
} as const;

const TOKENS = {
  local: { scopes: SCOPES.filter((scope) => scope !== "requests:write"), acts: null },
  claude: { scopes: ["requests:write"], acts: ACTS.claude },
  jenkins: { scopes: ["requests:write"], acts: ACTS.jenkins },
  reader: { scopes: ["requests:read"], acts: null },
  auditor: { scopes: ["log:read", "policy:read"], acts: null },
  over: { scopes: SCOPES, acts: null },
} as const satisfies Record<string, { scopes: readonly Scope[]; acts: TokenActor["acts"] }>;
export type TokenName = keyof typeof TOKENS;

export async function openApiWorld(
  options: WorldOptions & { readonly api?: Partial<ApiParts> } = {},
): Promise<ApiWorld> {
  const world = await makeWorld(options);
  const clock = options.clock ?? systemClock;
  const sessions = createSessionTable(() => clock.now());
  const tokens = Object.fromEntries(Object.keys(TOKENS).map((name) => [name, newToken("csa")])) as Record<
    TokenName,
    string
  >;
  const api = await startApi({
    home: world.home,
    listener: { host: "localhost", port: 0 },
    tokens: createBearer(
      Object.entries(TOKENS).map(([name, { scopes, acts }]) => ({
        ...{ kind: "token" as const, name, acts, tokenSha256: tokenSha256(tokens[name as TokenName]) },
        scopes: new Set<Scope>(scopes),
        expiresAt: name === "over" ? clock.now() + 60_000 : null,
      })),
    ),
    sessions,
    version: "0.0.0",
    clock,
    log: pino({ level: "silent" }),
    ...options.api,
  });
  const as = (name: TokenName): ApiClient =>
    createApiClient(
      () => api.port,
      () => ({ authorization: `Bearer ${tokens[name]}` }),
    );
  const draft = async (path: string): Promise<{ statement: never; proof: object }> => {
    const { json } = await as("local").get(path);
    return { statement: json["statement"] as never, proof: {} };
  };
  return {
    world,
    api,
    sessions,
    tokens,
    url: api.url,
    as,
    signedIn(person, at = clock.now()) {
      const { session, cookie } = sessions.signIn(person, at);
      const client = createApiClient(
        () => api.port,
        () => ({ cookie, origin: `http://localhost:${api.port}`, "x-csrf-token": session.csrf }),
      );
      return { ...client, cookie, id: session.id };
    },
    async decision(ref, person, decision, more = "") {
      const { statement } = await draft(
        `/requests/${ref}/draft?person=${person}&decision=${decision}${more}`,
      );
      const signature = sign(world, person, statement as Statement);
      return { statement, proof: { kind: "sshsig", signature } };
    },
    async adoption(person) {
      const { statement } = await draft(`/policy/draft?person=${person}`);
      const signature = world.keys[person]?.sign(
        adoptionBytes(statement as AdoptionStatement),
        ADOPTION_NAMESPACE,
      );
      return { statement, proof: { kind: "sshsig", signature } };
    },
    async close() {
      await api.close(0);
      await world.close();
    },
  };
}
