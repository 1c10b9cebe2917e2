import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Settings } from "../config/settings.ts";
import type { PrincipalClaim } from "../request/principal.ts";
import { newToken, tokenSha256, type TokenKind } from "../base/token.ts";
import { SCOPES, type TokenActor } from "../transport/http/actor.ts";
import { readTokenFile } from "../transport/http/bearer.ts";
import type { McpClient } from "../transport/mcp/identify.ts";

// The two local tokens of a home, made with it, 0600: one opens the MCP listener, the other the API. Neither opens
// the other (P1).

const FILES: Record<TokenKind, string> = { csm: "mcp.token", csa: "api.token" };

const tokenPath = (dataDir: string, kind: TokenKind): string => join(dataDir, "keys", FILES[kind]);

/** Reads the local token, making it where the home has none yet. */
export async function localToken(dataDir: string, kind: TokenKind): Promise<string> {
  const path = tokenPath(dataDir, kind);
  await mkdir(join(dataDir, "keys"), { recursive: true, mode: 0o700 });
  await writeFile(path, `${newToken(kind)}\n`, { mode: 0o600, flag: "wx" }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  return readTokenFile(path);
}

/** Everyone who may call the MCP listener: the configured clients, and whoever can read the local token. */
export function mcpClients(settings: Settings, localMcpToken: string, account: string): readonly McpClient[] {
  const digest = tokenSha256(localMcpToken);
  const principal: PrincipalClaim =
    settings.stdio.principal === null
      ? { kind: "os", account }
      : { kind: "named", id: settings.stdio.principal };
  const configured = settings.clients.map((client) => ({
    name: client.name,
    tokenSha256: client.tokenSha256,
    principal: { kind: "named" as const, id: client.principal },
    agent: client.agent,
    expiresAt: client.expiresAt,
    ...(client.effects === null ? {} : { permits: client.effects }),
    // Whoever can read the home's own token is the gateway's own user, and may name the agent as the stdio flag does.
    namesItsAgent: client.tokenSha256 === digest,
  }));
  if (configured.some((client) => client.namesItsAgent)) return configured;
  return [
    ...configured,
    { name: "local", tokenSha256: digest, principal, agent: settings.stdio.agent, namesItsAgent: true },
  ];
}

/** Everyone whose token opens the API: the configured ones, and whoever can read the local token. */
export function apiTokens(
  settings: Settings,
  localApiToken: string,
): readonly (TokenActor & { readonly tokenSha256: string })[] {
  const configured = settings.api.tokens.map(({ name, tokenSha256: digest, scopes, acts, expiresAt }) => ({
    ...{ kind: "token" as const, name, acts, expiresAt, tokenSha256: digest },
    scopes: new Set(scopes),
  }));
  const digest = tokenSha256(localApiToken);
  if (configured.some((token) => token.tokenSha256 === digest)) return configured;
  return [
    ...configured,
    // Reads everything and hands in what people signed. It asks for nobody: a request is somebody's (C1).
    {
      ...{ kind: "token" as const, name: "local", acts: null, tokenSha256: digest },
      scopes: new Set(SCOPES.filter((scope) => scope !== "requests:write")),
    },
  ];
}
