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
  }[];
  /** What opens the API besides sessions and the local token, and the Host headers it answers to besides localhost. */
  readonly api: { readonly tokens: readonly ApiTokenSettings[]; readonly hosts: readonly string[] };
  readonly holdMs: number;
  readonly limits: Limits;
  readonly logLevel: string;
}

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

export const DEFAULT_HOLD_MS = 40_000;

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
