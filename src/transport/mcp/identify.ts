import type { IncomingMessage } from "node:http";
import type { Effect } from "../../request/action-request.ts";
import type { Acting, AgentId, PrincipalClaim } from "../../request/principal.ts";
import type { Authenticate } from "../http/bearer.ts";
import { challengeHeader, type BearerError } from "../http/resource-metadata.ts";

// Who calls the MCP listener: whoever holds a static token of the configuration, or an access token of an issuer that
// the operator named. A token that is neither is refused; of one that can't be judged now that is said (K3).

/** Whom a token stands for. */
export interface McpCaller {
  /** Tells callers apart: no two of different principal or agent have the same. */
  readonly name: string;
  readonly principal: PrincipalClaim;
  readonly agent: AgentId | null;
  readonly acting?: Acting;
  /** What the token is good for; absent: all that the policy lets it. */
  readonly permits?: readonly Effect[];
  /** There is somebody to ask for a token that permits more. */
  readonly canStepUp?: boolean;
  /** The local token: the process that presents it may name its agent, as the flag of the stdio command does. */
  readonly namesItsAgent?: boolean;
  /** Epoch milliseconds at which the token's time is over; absent or null: never. */
  readonly expiresAt?: number | null;
}

/** A static token of this listener, by its digest. */
export interface McpClient extends McpCaller {
  readonly tokenSha256: string;
}

export type Identified =
  | { readonly ok: true; readonly client: McpCaller }
  | {
      readonly ok: false;
      readonly status: 401 | 429 | 503;
      /** Counted beside the status in the operator's log. */
      readonly why?: string;
      /** Ours, with nothing of the token in them. */
      readonly words: string;
      readonly retryAfterMs?: number;
    };

/** The listener as an OAuth 2.1 resource server. */
export interface OauthDoor {
  /** The Host header by which clients reach the resource. */
  readonly host: string;
  /** RFC 9728 §2. */
  readonly metadata: object;
  readonly metadataPaths: ReadonlySet<string>;
  identify(token: string, address: string): Promise<Identified>;
  challenge(error: BearerError | null, words?: string): string;
  /** What a token that permits this needs for a call of that effect. */
  stepUp(effect: Effect, permits: readonly Effect[], words: string): string;
}

export interface IdentifyParts {
  readonly authenticate: Authenticate<McpClient>;
  readonly oauth?: OauthDoor;
  readonly now?: () => number;
}

const BEARER = /^Bearer +(\S+)$/i;

export interface McpIdentify {
  (request: IncomingMessage): Identified | Promise<Identified>;
  /** The `WWW-Authenticate` header for a refusal of this request. */
  challenge(request: IncomingMessage, words: string): string;
}

export function createMcpIdentify({ authenticate, oauth, now = Date.now }: IdentifyParts): McpIdentify {
  const stranger = (why: string, words: string): Identified => ({ ok: false, status: 401, why, words });
  const identify = (request: IncomingMessage): Identified | Promise<Identified> => {
    const { authorization } = request.headers;
    if (authorization === undefined) return stranger("no_token", "a bearer token of this gateway is needed");
    const client = authenticate(authorization);
    if (client !== null) {
      return typeof client.expiresAt === "number" && now() >= client.expiresAt
        ? stranger("expired", "this token's time is over; the operator can make another")
        : { ok: true, client };
    }
    const token = BEARER.exec(authorization)?.[1];
    // Only a JWT has two dots; what has none was meant to be a token of the configuration.
    if (oauth === undefined || token === undefined || token.split(".", 4).length !== 3)
      return stranger("unknown_token", "a bearer token of this gateway is needed");
    return oauth.identify(token, request.socket.remoteAddress ?? "");
  };
  return Object.assign(identify, {
    challenge(request: IncomingMessage, words: string): string {
      const error = request.headers.authorization === undefined ? null : ("invalid_token" as const);
      return oauth?.challenge(error, words) ?? challengeHeader({ error });
    },
  });
}
