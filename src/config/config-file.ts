import * as z from "zod";
import { later } from "../base/later.ts";
import { parseDuration } from "../base/duration.ts";
import { barredBesideAsking, SCOPES } from "./api-scopes.ts";
import { err, ok, type Result } from "../base/result.ts";
import { MOST_ROUNDS } from "./hold-times.ts";
import { EFFECT_NAMES, oauthInconsistencies, oauthSchema } from "./oauth.ts";
import { LEAST_RECORDS_MS } from "./settings.ts";
import { duration, moment, safeUrl } from "./values.ts";
import { isOriginOf } from "../base/webauthn.ts";
import { parseYaml, sourceErrors, type SourceError, type YamlSource } from "../base/yaml.ts";

// countersign.yaml: the operator's file. Its schema says what may stand in it; load-settings.ts says what wins.

/** In place of a duration: nothing is erased by itself. */
export const FOREVER = "forever";

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const name = later(() =>
  z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "expected a name of a-z, 0-9, dot, dash and underscore"),
);

const RETENTION_EXPECTED = "expected a duration of at least 1d, such as 400d, or forever";
const retention = later(() =>
  z
    .string()
    .refine((text) => {
      const ms = parseDuration(text);
      return text === FOREVER || (ms !== undefined && ms >= LEAST_RECORDS_MS);
    }, RETENTION_EXPECTED)
    .transform((text) => (text === FOREVER ? FOREVER : (parseDuration(text) as number))),
);

const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const size = later(() =>
  z
    .string()
    .regex(/^[1-9]\d{0,6} ?(KiB|MiB|GiB)$/, "expected a size such as 64MiB")
    .transform((text) => Number.parseInt(text, 10) * (UNITS[text.slice(-3)] as number)),
);

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:7331`, `[::1]:7331`, `localhost:7332`; undefined for anything else. Port 0 lets the system choose. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port > 65_535 ? undefined : { host: (match[1] ?? match[2]) as string, port };
}

export const LISTEN_EXPECTED = "expected host:port, such as 127.0.0.1:7331";
const listen = later(() =>
  z
    .string()
    .refine((text) => parseListenAddress(text) !== undefined, LISTEN_EXPECTED)
    .transform((text) => parseListenAddress(text) as ListenAddress),
);

const count = later(() => z.number().int().min(1).max(1_000_000));

const hold = later(() =>
  z.strictObject({
    default: duration.optional(),
    clients: z.record(z.string().min(1).max(128), duration).optional(),
    rounds: z.number().int().min(0).max(MOST_ROUNDS).optional(),
    show_page: z.boolean().optional(),
  }),
);

const client = later(() =>
  z.strictObject({
    name,
    token_sha256: z
      .string()
      .regex(
        /^[0-9a-f]{64}$/,
        "expected the token's SHA-256 as 64 lower-case hex digits, never the token itself",
      ),
    agent: z.string().min(1),
    principal: z.string().min(1),
    /** What it is good for; left out: all that the policy lets it. */
    effects: z.array(z.enum(EFFECT_NAMES)).min(1).optional(),
    expires: moment.optional(),
  }),
);

const AAGUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HOST = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

const passkeys = later(() =>
  z.strictObject({
    cooling: z
      .literal("none")
      .transform(() => 0)
      .or(duration)
      .optional(),
    invitation: duration.optional(),
    deny_aaguids: z.array(z.string().regex(AAGUID, "expected a UUID in lower case")).max(1_000).optional(),
    rp_id: z.string().regex(HOST, "expected a host name in lower case, such as gate.example.com").optional(),
    origins: z
      .array(
        safeUrl.refine((text) => new URL(text).origin === text, "expected an origin: scheme, host, port"),
      )
      .max(20)
      .optional(),
  }),
);

const oidc = later(() =>
  z.strictObject({
    issuer: safeUrl,
    client_id: z.string().min(1).max(500),
    client_secret_file: z.string().min(1).optional(),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/))
      .max(20)
      .optional(),
    max_age: duration.optional(),
    groups_claim: z.string().min(1).max(200).optional(),
    require_groups: z.array(z.string().min(1).max(200)).min(1).max(200).optional(),
  }),
);

/** What opens the API. Like `clients`, but with scopes, and acting only where it says as whom. */
const apiToken = later(() =>
  z
    .strictObject({
      name,
      token_sha256: client.shape.token_sha256,
      scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length),
      /** As whom and for whom it makes requests (C1). */
      principal: z.string().min(1).optional(),
      agent: z.string().min(1).optional(),
      expires: moment.optional(),
    })
    .refine((token) => (token.principal === undefined) === (token.agent === undefined), {
      path: ["principal"],
      message: "principal and agent stand together: who asks is both",
    })
    .refine((token) => !token.scopes.includes("requests:write") || token.principal !== undefined, {
      path: ["scopes"],
      message: "requests:write needs principal and agent: a request is somebody's (C1)",
    })
    .refine((token) => barredBesideAsking(token.scopes).length === 0, {
      path: ["scopes"],
      message:
        "a token that asks (requests:write) has neither requests:read nor log:read: both show previews before the grant (P4); make a second token",
    }),
);

/** `countersign.example.com` or `10.0.0.5:7332`: a Host header as it arrives. */
const hostHeader = later(() =>
  z
    .string()
    .regex(
      /^[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?(:\d{1,5})?$/,
      "expected a host, and its port where it is not 443",
    ),
);

/** What may stand in countersign.yaml, with what the tools act on checked by their own schemas. */
const sections = ({
  servicesSchema,
  workspacesSchema = z.strictObject({}),
  upstreamsSchema = z.strictObject({}),
}: ConfigSchemas) => ({
  version: () => z.literal(1),
  policy: () => z.string().min(1).optional(),
  isolation: () => z.enum(["service", "none"]).optional(),
  services: () => servicesSchema.optional(),
  workspaces: () => workspacesSchema.optional(),
  upstreams: () => upstreamsSchema.optional(),
  listeners: () => z.strictObject({ mcp: listen.optional(), api: listen.optional() }).optional(),
  stdio: () =>
    z
      .strictObject({ agent: z.string().min(1).optional(), principal: z.string().min(1).optional() })
      .optional(),
  clients: () => z.array(client).max(1_000).optional(),
  api: () =>
    z
      .strictObject({
        tokens: z.array(apiToken).max(1_000).optional(),
        hosts: z.array(hostHeader).max(20).optional(),
      })
      .optional(),
  hold: () => z.union([duration, hold]).optional(),
  passkeys: () => passkeys.optional(),
  sessions: () => z.strictObject({ idle: duration.optional(), absolute: duration.optional() }).optional(),
  oidc: () => oidc.optional(),
  oauth: () => oauthSchema.optional(),
  limits: () =>
    z
      .strictObject({
        held_per_minute: count.optional(),
        reads_per_minute: count.optional(),
        open_requests: count.optional(),
        blobs_per_day: size.optional(),
        min_free: size.optional(),
        previews_at_once: count.optional(),
        previews_per_hour: count.optional(),
        preview_timeout: duration.optional(),
        execute_timeout: duration.optional(),
      })
      .optional(),
  retention: () => z.strictObject({ records: retention.optional() }).optional(),
  log_level: () => z.enum(LOG_LEVELS).optional(),
});
type Sections = ReturnType<typeof sections>;
type ConfigSchema = z.ZodObject<{ [K in keyof Sections]: ReturnType<Sections[K]> }, z.core.$strict>;
export type ConfigFile = z.output<ConfigSchema>;

/** The schema of a file whose keys are `given`: what stands in it nowhere is named there, but not made. */
function configSchema(schemas: ConfigSchemas, given: ReadonlySet<string>): ConfigSchema {
  const absent = z.undefined().optional();
  const shape = Object.entries(sections(schemas)).map(([key, make]) => [
    key,
    key === "version" || given.has(key) ? make() : absent,
  ]);
  return z.strictObject(Object.fromEntries(shape)) as ConfigSchema;
}

/** Reads the text of countersign.yaml. Every mistake is an error with its place. */
export function parseConfig(
  text: string,
  file: string,
  servicesSchema: z.ZodType,
  workspacesSchema?: z.ZodType,
  upstreamsSchema?: z.ZodType,
): Result<{ readonly config: ConfigFile; readonly source: YamlSource }, readonly SourceError[]> {
  const yaml = parseYaml(text, file);
  if (!yaml.ok) return yaml;
  const source = yaml.value;
  const given = new Set(Object.keys(Object(source.value) as object));
  const schema = configSchema({ servicesSchema, workspacesSchema, upstreamsSchema }, given);
  const parsed = schema.safeParse(source.value);
  if (!parsed.success) return err(sourceErrors(source, parsed.error, schema));
  const errors = inconsistencies(parsed.data, source);
  return errors.length > 0 ? err(errors) : ok({ config: parsed.data, source });
}

/** The schemas of what the tools act on. */
export interface ConfigSchemas {
  readonly servicesSchema: z.ZodType;
  readonly workspacesSchema?: z.ZodType | undefined;
  readonly upstreamsSchema?: z.ZodType | undefined;
}

export type ReadConfig = (text: string, file: string) => Result<ConfigFile, readonly SourceError[]>;

/** Reads as {@link parseConfig} does, but not again what it read last: a start needs settings and registrations of it. */
export function createConfigReader(schemas: ConfigSchemas): ReadConfig {
  let last: { readonly text: string; readonly config: ConfigFile } | null = null;
  return (text, file) => {
    if (last?.text === text) return ok(last.config);
    const { servicesSchema, workspacesSchema, upstreamsSchema } = schemas;
    const parsed = parseConfig(text, file, servicesSchema, workspacesSchema, upstreamsSchema);
    if (!parsed.ok) return parsed;
    last = { text, config: parsed.value.config };
    return ok(last.config);
  };
}

function inconsistencies(config: ConfigFile, source: YamlSource): SourceError[] {
  const errors: SourceError[] = [];
  const { mcp, api } = config.listeners ?? {};
  if (mcp !== undefined && api !== undefined && mcp.port === api.port && mcp.port !== 0) {
    errors.push(source.error(["listeners", "api"], "agents and people must not share a port (P1)"));
  }
  const { rp_id: rpId = "localhost", origins = [] } = config.passkeys ?? {};
  if (rpId !== "localhost" && origins.length === 0) {
    errors.push(source.error(["passkeys", "rp_id"], "needs origins: the addresses of the pages behind it"));
  }
  for (const [i, origin] of origins.entries()) {
    if (isOriginOf(origin, rpId)) continue;
    errors.push(source.error(["passkeys", "origins", i], `is not of the relying party ${rpId}`));
  }
  errors.push(...oauthInconsistencies(config.oauth, source));
  errors.push(...repeats(config.clients ?? [], ["clients"], source));
  errors.push(...repeats(config.api?.tokens ?? [], ["api", "tokens"], source));
  const agents = new Set((config.clients ?? []).map((one) => one.token_sha256));
  for (const [i, { token_sha256: token }] of (config.api?.tokens ?? []).entries()) {
    if (!agents.has(token)) continue;
    const message = "a client has this token already; what agents call with never opens the API (P1)";
    errors.push(source.error(["api", "tokens", i, "token_sha256"], message));
  }
  return errors;
}

function repeats(
  holders: readonly { readonly name: string; readonly token_sha256: string }[],
  path: readonly string[],
  source: YamlSource,
): SourceError[] {
  const errors: SourceError[] = [];
  const names = new Map<string, number>();
  const tokens = new Map<string, number>();
  const list = path.join(".");
  for (const [i, { name: given, token_sha256: token }] of holders.entries()) {
    const sameName = names.get(given);
    if (sameName !== undefined) {
      errors.push(source.error([...path, i, "name"], `${list}[${sameName}] has this name already`));
    }
    const sameToken = tokens.get(token);
    if (sameToken !== undefined) {
      errors.push(source.error([...path, i, "token_sha256"], `${list}[${sameToken}] has this token already`));
    }
    names.set(given, names.get(given) ?? i);
    tokens.set(token, tokens.get(token) ?? i);
  }
  return errors;
}
