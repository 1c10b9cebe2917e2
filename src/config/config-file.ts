import { z } from "zod";
import { parseDuration } from "../base/duration.ts";
import { err, ok, type Result } from "../base/result.ts";
import { LEAST_RECORDS_MS } from "./settings.ts";
import { parseYaml, sourceErrors, type SourceError, type YamlSource } from "../base/yaml.ts";

// countersign.yaml: the operator's file. Its schema says what may stand in it; load-settings.ts says what wins.

/** In place of a duration: nothing is erased by itself. */
export const FOREVER = "forever";

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "expected a name of a-z, 0-9, dot, dash and underscore");

const duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, "expected a duration such as 40s, 30m or 1h30m")
  .transform((text) => parseDuration(text) as number);

const RETENTION_EXPECTED = "expected a duration of at least 1d, such as 400d, or forever";
const retention = z
  .string()
  .refine((text) => {
    const ms = parseDuration(text);
    return text === FOREVER || (ms !== undefined && ms >= LEAST_RECORDS_MS);
  }, RETENTION_EXPECTED)
  .transform((text) => (text === FOREVER ? FOREVER : (parseDuration(text) as number)));

const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const size = z
  .string()
  .regex(/^[1-9]\d{0,6} ?(KiB|MiB|GiB)$/, "expected a size such as 64MiB")
  .transform((text) => Number.parseInt(text, 10) * (UNITS[text.slice(-3)] as number));

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
const listen = z
  .string()
  .refine((text) => parseListenAddress(text) !== undefined, LISTEN_EXPECTED)
  .transform((text) => parseListenAddress(text) as ListenAddress);

const count = z.number().int().min(1).max(1_000_000);

const client = z.strictObject({
  name,
  token_sha256: z
    .string()
    .regex(
      /^[0-9a-f]{64}$/,
      "expected the token's SHA-256 as 64 lower-case hex digits, never the token itself",
    ),
  agent: z.string().min(1),
  principal: z.string().min(1),
});

/** The schema of countersign.yaml, with what the tools act on checked by their own schemas. */
export const configSchema = (servicesSchema: z.ZodType, workspacesSchema: z.ZodType = z.strictObject({})) =>
  z.strictObject({
    version: z.literal(1),
    policy: z.string().min(1).optional(),
    isolation: z.enum(["service", "none"]).optional(),
    services: servicesSchema.optional(),
    workspaces: workspacesSchema.optional(),
    listeners: z.strictObject({ mcp: listen.optional(), api: listen.optional() }).optional(),
    stdio: z
      .strictObject({ agent: z.string().min(1).optional(), principal: z.string().min(1).optional() })
      .optional(),
    clients: z.array(client).max(1_000).optional(),
    hold: duration.optional(),
    limits: z
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
    retention: z.strictObject({ records: retention.optional() }).optional(),
    log_level: z.enum(LOG_LEVELS).optional(),
  });
export type ConfigFile = z.output<ReturnType<typeof configSchema>>;

/** Reads the text of countersign.yaml. Every mistake is an error with its place. */
export function parseConfig(
  text: string,
  file: string,
  servicesSchema: z.ZodType,
  workspacesSchema?: z.ZodType,
): Result<{ readonly config: ConfigFile; readonly source: YamlSource }, readonly SourceError[]> {
  const yaml = parseYaml(text, file);
  if (!yaml.ok) return yaml;
  const source = yaml.value;
  const schema = configSchema(servicesSchema, workspacesSchema);
  const parsed = schema.safeParse(source.value);
  if (!parsed.success) return err(sourceErrors(source, parsed.error, schema));
  const errors = inconsistencies(parsed.data, source);
  return errors.length > 0 ? err(errors) : ok({ config: parsed.data, source });
}

function inconsistencies(config: ConfigFile, source: YamlSource): SourceError[] {
  const errors: SourceError[] = [];
  const { mcp, api } = config.listeners ?? {};
  if (mcp !== undefined && api !== undefined && mcp.port === api.port && mcp.port !== 0) {
    errors.push(source.error(["listeners", "api"], "agents and people must not share a port (P1)"));
  }
  const names = new Map<string, number>();
  const tokens = new Map<string, number>();
  for (const [i, { name: given, token_sha256: token }] of (config.clients ?? []).entries()) {
    const sameName = names.get(given);
    if (sameName !== undefined) {
      errors.push(source.error(["clients", i, "name"], `clients[${sameName}] has this name already`));
    }
    const sameToken = tokens.get(token);
    if (sameToken !== undefined) {
      errors.push(
        source.error(["clients", i, "token_sha256"], `clients[${sameToken}] has this token already`),
      );
    }
    names.set(given, names.get(given) ?? i);
    tokens.set(token, tokens.get(token) ?? i);
  }
  return errors;
}
