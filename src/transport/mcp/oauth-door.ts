import type { Logger } from "pino";
import type { OauthSettings } from "../../config/settings.ts";
import { EFFECTS, type Effect } from "../../request/action-request.ts";
import { createAccessTokens, TOKEN_FAULTS, type AccessToken } from "../http/access-token.ts";
import { API_LIMITS, createRateLimits } from "../http/rate-limits.ts";
import {
  challengeHeader,
  metadataPaths,
  metadataUrl,
  resourceMetadata,
  scopesFor,
} from "../http/resource-metadata.ts";
import { MCP_PATH } from "./http-names.ts";
import type { Identified, McpCaller, OauthDoor } from "./identify.ts";

// Callers with access tokens. This module alone leads to the JWT library, and is loaded where `oauth` is configured.

/** Tokens that fail their signature, by address. Verified ones are remembered and never wait. */
const WRONG_TOKENS = { burst: 300, perMinute: 600 } as const;
/** What a client is told to wait while the keys of an issuer can't be had. */
const RETRY_MS = 10_000;
/** How often the operator's log says that they can't. */
const COMPLAIN_EVERY_MS = 60_000;

export interface OauthDoorParts {
  readonly settings: OauthSettings;
  readonly log: Logger;
  readonly now?: () => number;
  /** Milliseconds that never go back. */
  readonly monotonic?: () => number;
}

export function createOauthDoor({
  settings,
  log,
  now = Date.now,
  monotonic = () => performance.now(),
}: OauthDoorParts): OauthDoor {
  const tokens = createAccessTokens(settings, now, monotonic);
  const limits = createRateLimits(monotonic, { ...API_LIMITS, strangers: WRONG_TOKENS });
  const complained = new Map<string, number>();
  const metadata = metadataUrl(settings.resource);

  const complain = (issuer: string, cause: string): void => {
    if (now() - (complained.get(issuer) ?? -Infinity) < COMPLAIN_EVERY_MS) return;
    complained.set(issuer, now());
    log.warn({ issuer, cause }, "the keys of an issuer can't be had; its tokens are not let in");
  };

  return {
    host: new URL(settings.resource).host,
    metadata: resourceMetadata(settings),
    metadataPaths: metadataPaths(settings.resource, MCP_PATH),

    async identify(token, address): Promise<Identified> {
      const known = tokens.known(token);
      if (known === null) {
        const retryAfterMs = limits.look("strangers", address);
        if (retryAfterMs !== null) {
          return {
            ok: false,
            status: 429,
            words: "too many tokens that are none came from here",
            retryAfterMs,
          };
        }
      }
      const verdict = known ?? (await tokens.verify(token));
      if (verdict.ok) return { ok: true, client: callerOf(verdict.token, settings) };
      if (verdict.why === "keys_unavailable") {
        complain(verdict.issuer, verdict.cause);
        const words = "the keys of the token's issuer can't be had at the moment; nothing was done";
        return { ok: false, status: 503, words, retryAfterMs: RETRY_MS };
      }
      if (verdict.why === "bad_signature" || verdict.why === "bad_claims") limits.take("strangers", address);
      return {
        ok: false,
        status: 401,
        why: verdict.why,
        words: `the access token is refused: ${TOKEN_FAULTS[verdict.why]}`,
      };
    },

    challenge: (error, words) =>
      challengeHeader({
        error,
        ...(error === null || words === undefined ? {} : { words }),
        scope: scopesFor(settings, settings.askFor),
        metadata,
      }),

    // What the token has stays in it: a client that asked for the new scope alone would lose the others.
    stepUp: (effect, permits, words) =>
      challengeHeader({
        error: "insufficient_scope",
        words,
        scope: scopesFor(
          settings,
          EFFECTS.filter((one) => one === effect || permits.includes(one)),
        ),
        metadata,
      }),
  };
}

/** Whom a verified token stands for. Who that is says the policy; here it is issuer and ids (C1). */
function callerOf(token: AccessToken, { scopes }: OauthSettings): McpCaller {
  const { issuer, subject, isClient, client, actors } = token;
  const permits: readonly Effect[] = EFFECTS.filter((effect) => token.scopes.has(scopes[effect]));
  return {
    name: JSON.stringify([issuer, subject, client, ...actors]),
    principal: { kind: "oidc", issuer, subject, isClient },
    agent: null,
    acting: { issuer, client, actors },
    permits,
    canStepUp: true,
  };
}
