import * as z from "zod";
import { later } from "../base/later.ts";
import type { SourceError, YamlSource } from "../base/yaml.ts";
import type { Effect } from "../request/action-request.ts";
import type { OauthSettings } from "./settings.ts";
import { duration, safeUrl } from "./values.ts";

// `oauth:` of countersign.yaml: the MCP listener as an OAuth 2.1 resource server. Who a token's subject, client and
// actor are is not said here but in policy.yaml, where people adopt it.

/** No `none` and no shared secrets: whoever can check a token must not be able to make one. */
export const TOKEN_ALGORITHMS = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
] as const;
const DEFAULT_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"] as const;

export const EFFECT_NAMES = [
  "read",
  "write",
  "destructive",
  "privilege",
] as const satisfies readonly Effect[];

const DEFAULT_SKEW_MS = 30_000;
const MOST_SKEW_MS = 300_000;
const DEFAULT_TOKEN_AGE_MS = 86_400_000;

const plainUrl = later(() =>
  safeUrl.refine((text) => !/[?#@]/.test(text), "expected a URL without a query, a fragment or a user"),
);
const claim = later(() => z.string().min(1).max(200));
/** RFC 6749 §3.3. */
const scope = later(() =>
  z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, "expected a scope: no blanks, no quotes"),
);

const issuer = later(() =>
  z.strictObject({
    issuer: plainUrl,
    jwks_uri: safeUrl.optional(),
    audience: z.union([claim.transform((one) => [one]), z.array(claim).min(1).max(20)]).optional(),
    algorithms: z.array(z.enum(TOKEN_ALGORITHMS)).min(1).optional(),
    plain_jwt: z.boolean().optional(),
    subject_claim: claim.optional(),
    client_claim: claim.optional(),
    scope_claim: claim.optional(),
  }),
);

export const oauthSchema = later(() =>
  z.strictObject({
    resource: plainUrl,
    issuers: z.array(issuer).min(1).max(20),
    scopes: z
      .strictObject({
        read: scope.optional(),
        write: scope.optional(),
        destructive: scope.optional(),
        privilege: scope.optional(),
      })
      .optional(),
    ask_for: z.array(z.enum(EFFECT_NAMES)).min(1).optional(),
    clock_skew: duration.refine((ms) => ms <= MOST_SKEW_MS, "expected at most 5m").optional(),
    max_token_age: duration.refine((ms) => ms >= 60_000, "expected at least 1m").optional(),
  }),
);
type OauthFile = z.output<typeof oauthSchema>;

/** What the schema alone does not see. */
export function oauthInconsistencies(oauth: OauthFile | undefined, source: YamlSource): SourceError[] {
  const errors: SourceError[] = [];
  const known = new Set<string>();
  for (const [i, one] of (oauth?.issuers ?? []).entries()) {
    const at = ["oauth", "issuers", i];
    if (known.has(one.issuer))
      errors.push(source.error([...at, "issuer"], "this issuer stands here already"));
    known.add(one.issuer);
    if (one.issuer.startsWith("https:") && one.jwks_uri?.startsWith("http:") === true) {
      errors.push(source.error([...at, "jwks_uri"], "the keys of an https issuer come over https"));
    }
  }
  return errors;
}

export function oauthSettings(oauth: OauthFile | undefined): OauthSettings | null {
  if (oauth === undefined) return null;
  return {
    resource: oauth.resource,
    issuers: oauth.issuers.map((one) => ({
      issuer: one.issuer,
      jwksUri: one.jwks_uri ?? null,
      audience: one.audience ?? [oauth.resource],
      algorithms: one.algorithms ?? DEFAULT_ALGORITHMS,
      acceptsPlainJwt: one.plain_jwt ?? false,
      subjectClaim: one.subject_claim ?? "sub",
      clientClaim: one.client_claim ?? null,
      scopeClaim: one.scope_claim ?? null,
    })),
    scopes: {
      read: oauth.scopes?.read ?? "countersign:read",
      write: oauth.scopes?.write ?? "countersign:write",
      destructive: oauth.scopes?.destructive ?? "countersign:destructive",
      privilege: oauth.scopes?.privilege ?? "countersign:privilege",
    },
    askFor: oauth.ask_for ?? ["read", "write"],
    clockSkewMs: oauth.clock_skew ?? DEFAULT_SKEW_MS,
    maxTokenAgeMs: oauth.max_token_age ?? DEFAULT_TOKEN_AGE_MS,
  };
}
