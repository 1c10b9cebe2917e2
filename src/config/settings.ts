import type { Effect } from "../request/action-request.ts";
import type { Scope } from "./api-scopes.ts";

/** Everything a gateway or the command line needs to know before it opens a home. All paths absolute. */
export interface Settings {
  readonly home: string;
  /** `<home>/data`, 0700. */
  readonly dataDir: string;
  /** The operator's file; null in a home that has none yet. */
  readonly configFile: string | null;
  readonly policyFile: string;
  readonly isolation: "service" | "none";
  /** Services that deploy_service may act on, by name; parsed by the schema that `loadSettings` was given. */
  readonly services: Readonly<Record<string, unknown>>;
  readonly listeners: {
    readonly mcp: { readonly host: string; readonly port: number };
    readonly api: { readonly host: string; readonly port: number };
  };
  /** Who a stdio client is, where the operator named it. */
  readonly stdio: { readonly agent: string | null; readonly principal: string | null };
  /** Static bearer tokens of the MCP listener; only their SHA-256 (hex) stands in the file. */
  readonly clients: readonly {
    readonly name: string;
    readonly tokenSha256: string;
    readonly agent: string;
    readonly principal: string;
    /** What it is good for; null: all that the policy lets it. */
    readonly effects: readonly Effect[] | null;
    /** Epoch milliseconds; null: it has no end. */
    readonly expiresAt: number | null;
  }[];
  /** What opens the API besides sessions and the local token, and the Host headers it answers to besides localhost. */
  readonly api: { readonly tokens: readonly ApiTokenSettings[]; readonly hosts: readonly string[] };
  readonly hold: HoldSettings;
  readonly passkeys: PasskeySettings;
  readonly sessions: SessionSettings;
  /** Sign-in by an identity provider; null: by passkey only. */
  readonly oidc: OidcSettings | null;
  /** Access tokens for the MCP listener; null: static tokens only. */
  readonly oauth: OauthSettings | null;
  readonly limits: Limits;
  readonly retention: {
    /** Milliseconds that record documents of an ended request are kept; null: for ever. */
    readonly recordsMs: number | null;
  };
  readonly logLevel: string;
}

/** How people's passkeys come to count. */
export interface PasskeySettings {
  /** From enrolment until a passkey counts for A3; 0: at once. */
  readonly coolingMs: number;
  /** How long an invitation's code can be redeemed. */
  readonly invitationMs: number;
  /** Authenticator models that may not be enrolled, as lower-case UUIDs. */
  readonly denyAaguids: readonly string[];
  /** Relying party id; `localhost` unless a proxy gives the gateway a name. */
  readonly rpId: string;
  /** Origins of the pages that may ask; empty: `http://localhost` with the port of the API. */
  readonly origins: readonly string[];
}

export interface SessionSettings {
  /** A session ends when it was not used for so long. */
  readonly idleMs: number;
  /** It ends so long after the sign-in, whatever happens. */
  readonly absoluteMs: number;
}

export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  /** Absolute; null: a public client, with PKCE alone. */
  readonly clientSecretFile: string | null;
  readonly scopes: readonly string[];
  /** A login at the provider older than this is asked for again. */
  readonly maxAgeMs: number;
  /** Claim that holds the person's groups. */
  readonly groupsClaim: string;
  /** Where set, only who has one of these groups may sign in. A claim can bar a person, never make one eligible. */
  readonly requireGroups: readonly string[];
}

/** The MCP listener as an OAuth 2.1 resource server. */
export interface OauthSettings {
  /** Our own URL as clients call it: what tokens are made for (RFC 8707), and named in the metadata (RFC 9728). */
  readonly resource: string;
  readonly issuers: readonly IssuerSettings[];
  /** The scope that a token needs for a call of each effect. None implies another. */
  readonly scopes: Readonly<Record<Effect, string>>;
  /** Whose scopes a client without a token is told to ask for; for others it is told when it calls. */
  readonly askFor: readonly Effect[];
  readonly clockSkewMs: number;
  /** An older token is refused, whatever its own end. */
  readonly maxTokenAgeMs: number;
}

/** An authorization server whose access tokens are taken. */
export interface IssuerSettings {
  /** Exactly as tokens have it in `iss`. */
  readonly issuer: string;
  /** Null: found by the issuer's metadata. */
  readonly jwksUri: string | null;
  /** One of them has to be in `aud`. */
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  /** Takes `typ: JWT` besides `at+jwt`, for servers from before RFC 9068. */
  readonly acceptsPlainJwt: boolean;
  readonly subjectClaim: string;
  /** Null: `client_id`, else `azp`. */
  readonly clientClaim: string | null;
  /** Null: `scope`, else `scp`. */
  readonly scopeClaim: string | null;
}

/** Chromium's virtual authenticator, which every test tool can make. */
export const VIRTUAL_AUTHENTICATOR = "01020304-0506-0708-0102-030405060708";

export const DEFAULT_PASSKEYS: PasskeySettings = {
  coolingMs: 86_400_000,
  invitationMs: 86_400_000,
  denyAaguids: [VIRTUAL_AUTHENTICATOR],
  rpId: "localhost",
  origins: [],
};

export const DEFAULT_SESSIONS: SessionSettings = { idleMs: 2 * 3_600_000, absoluteMs: 12 * 3_600_000 };

/** Per principal and agent, unless it says otherwise (design §11, "Load and disk"). */
export interface Limits {
  readonly heldPerMinute: number;
  readonly readsPerMinute: number;
  readonly openRequests: number;
  readonly blobBytesPerDay: number;
  /** Bytes that must stay free on the disk for new calls. */
  readonly minFreeBytes: number;
  readonly previewsAtOnce: number;
  readonly previewsPerHour: number;
  readonly previewTimeoutMs: number;
  readonly executeTimeoutMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  heldPerMinute: 60,
  readsPerMinute: 6_000,
  openRequests: 20,
  blobBytesPerDay: 64 * 1024 * 1024,
  minFreeBytes: 256 * 1024 * 1024,
  previewsAtOnce: 2,
  previewsPerHour: 30,
  previewTimeoutMs: 120_000,
  executeTimeoutMs: 900_000,
};

/** How long a call waits for people, and in which shape it goes on waiting. */
export interface HoldSettings {
  /** Milliseconds before a call is answered with a ticket, or another round. */
  readonly ms: number;
  /** The same by the name that a client gives itself: a claim, which may change this and nothing else. */
  readonly clients: Readonly<Record<string, number>>;
  /** Rounds that a client of 2026-07-28 without tasks is asked for before it gets the ticket; 0: none. */
  readonly rounds: number;
  /** Whether such a client, where it shows links, is pointed at the request's page. */
  readonly showPage: boolean;
}

/** Design §11: views, masked arguments, reasoning, masked results. Well over a year, so that a yearly audit finds them. */
export const DEFAULT_RECORDS_MS = 400 * 86_400_000;
/** A call that is sent again is answered from its result for a day. */
export const LEAST_RECORDS_MS = 86_400_000;
/** A static bearer token of the API. */
export interface ApiTokenSettings {
  readonly name: string;
  readonly tokenSha256: string;
  readonly scopes: readonly Scope[];
  /** As whom it makes requests; null where it makes none. */
  readonly acts: { readonly principal: string; readonly agent: string } | null;
  /** Epoch milliseconds; null: it has no end. */
  readonly expiresAt: number | null;
}
