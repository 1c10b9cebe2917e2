import type { OauthSettings } from "../../config/settings.ts";
import type { Effect } from "../../request/action-request.ts";

// What tells a client how to get a token for us: RFC 9728 (metadata, challenge) and RFC 6750 §3 (errors).

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** Paths at which the metadata is served: of the resource's own path, of the endpoint's, and of the whole host. */
export const metadataPaths = (resource: string, endpoint: string): ReadonlySet<string> =>
  new Set([metadataPath(resource), `${WELL_KNOWN}${endpoint}`, WELL_KNOWN]);

/** RFC 9728 §3.1: the well-known part goes between host and path. */
const metadataPath = (resource: string): string => {
  const { pathname } = new URL(resource);
  return pathname === "/" ? WELL_KNOWN : `${WELL_KNOWN}${pathname}`;
};

/** Where a client finds the metadata of this resource. */
export const metadataUrl = (resource: string): string => new URL(metadataPath(resource), resource).href;

/** RFC 9728 §2. */
export const resourceMetadata = ({ resource, issuers, scopes }: OauthSettings) => ({
  resource,
  authorization_servers: issuers.map(({ issuer }) => issuer),
  bearer_methods_supported: ["header"],
  scopes_supported: [...new Set(Object.values(scopes))],
  resource_name: "Countersign",
});

export type BearerError = "invalid_token" | "insufficient_scope";

/** The scopes of some effects, each once, as OAuth writes them. */
export const scopesFor = ({ scopes }: OauthSettings, effects: readonly Effect[]): string =>
  [...new Set(effects.map((effect) => scopes[effect]))].join(" ");

/** A `WWW-Authenticate` header. RFC 6750 §3: an error only where a token was presented. Words are ours, never a token's. */
export function challengeHeader(parts: {
  readonly error: BearerError | null;
  readonly words?: string;
  readonly scope?: string;
  readonly metadata?: string;
}): string {
  const fields = [
    ["realm", "countersign"],
    ["error", parts.error],
    ["error_description", parts.words],
    ["scope", parts.scope],
    ["resource_metadata", parts.metadata],
  ].flatMap(([name, value]) => (value === null || value === undefined ? [] : [`${name}="${value}"`]));
  return `Bearer ${fields.join(", ")}`;
}
