import { isAbsolute } from "node:path";
import * as z from "zod";
import { later } from "../base/later.ts";
import { parseDuration } from "../base/duration.ts";
import { isSensitiveKey } from "../log/sensitive-keys.ts";
import { EFFECTS } from "../request/action-request.ts";

// A server that is fronted, as the operator registers it under `upstreams:` in countersign.yaml. It is adopted like a
// policy (P6), and what is adopted holds references to secrets, never their values.

/** The key under `upstreams:`, and what stands before the names of its tools. */
export const ALIAS = /^[a-z][a-z0-9-]{0,31}$/;

const absolutePath = later(() =>
  z
    .string()
    .max(1_024)
    .refine((path) => isAbsolute(path), "an absolute path is expected"),
);

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Where a value comes from: written here, or from the gateway's environment or a file of the operator's. */
const valueSource = later(() =>
  z.union([
    z.string().max(4_096),
    z.strictObject({
      /** Name of a variable of the gateway's own environment. */
      from_env: z.string().regex(NAME, "the name of an environment variable is expected"),
      /** Stands before the value, such as `Bearer `. */
      prefix: z.string().max(64).optional(),
    }),
    z.strictObject({
      /** Absolute path of a file; one line break at its end is dropped. */
      file: absolutePath,
      prefix: z.string().max(64).optional(),
    }),
  ]),
);
export type ValueSource = z.infer<typeof valueSource>;

const noLiteralSecrets = (values: Readonly<Record<string, ValueSource>>): readonly string[] =>
  Object.entries(values)
    .filter(([name, value]) => typeof value === "string" && isSensitiveKey(name, new Set()))
    .map(([name]) => name);

const duration = (fallback: string, atMostMs: number): z.ZodType<number, string | undefined> =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined && ms > 0 && ms <= atMostMs) return ms;
      const expected = `a duration of at most ${atMostMs / 60_000}m is expected, such as 30s`;
      context.addIssue({ code: "custom", message: expected });
      return z.NEVER;
    });

const environment = later(() =>
  z.string().regex(/^[a-z][a-z0-9-]{0,40}$/, "a name in lower case is expected, such as prod"),
);

const argument = later(() => z.string().min(1).max(256));

/** What the operator says about one tool. It stands above whatever the server says of it. */
const toolEntry = later(() =>
  z.strictObject({
    effect: z.enum(EFFECTS).optional(),
    /** What policy sees as the environment of this tool, where it is not the server's. */
    environment: environment.optional(),
    idempotent: z.boolean().optional(),
    /** How long a call may take. */
    timeout: duration("15m", 3_600_000).optional(),
    /** The argument that makes a call a mere try, and its value. Naming it is the operator's word that it is one. */
    dry_run: z.strictObject({ argument, value: z.json() }).optional(),
    /** A tool of the same server that reads what this one would change. */
    before: z
      .strictObject({
        tool: z.string().min(1).max(128),
        /** Literal values, or `{ from: name }` for an argument of the call. */
        args: z
          .record(
            argument,
            z.union([
              z.strictObject({ from: argument }),
              z.strictObject({ value: z.json() }),
              z.string(),
              z.number(),
              z.boolean(),
            ]),
          )
          .default({}),
      })
      .optional(),
  }),
);
export type ToolEntry = z.infer<typeof toolEntry>;

/** One entry under `upstreams:`. */
export const upstreamRegistration = later(() =>
  z
    .strictObject({
      description: z.string().max(500).optional(),
      /** Program and arguments; no shell. */
      command: z.array(z.string().max(4_096)).min(1).max(200).optional(),
      /** Working directory of the command; an empty one of its own where absent. */
      cwd: absolutePath.optional(),
      /** The command's whole environment, besides PATH, HOME and the like. */
      env: z
        .record(z.string().regex(NAME, "the name of an environment variable is expected"), valueSource)
        .default({}),
      url: z
        .url({ protocol: /^https?$/ })
        .refine((text) => new URL(text).username === "" && new URL(text).password === "", {
          message: "a url without user and password is expected; give secrets as headers",
        })
        .refine(isSafe, "https:// is expected, or http:// on this machine")
        .optional(),
      headers: z
        .record(
          z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, "the name of a header is expected"),
          valueSource,
        )
        .default({}),
      environment,
      /** Whether what the server says of its tools (its annotations) is true: for all, or for the tools named. */
      vouch: z.union([z.literal(true), z.array(z.string().min(1).max(128)).max(10_000)]).optional(),
      /** Whether agents may read its resources and prompts without asking: they are reads of the server. */
      resources: z.boolean().default(false),
      /** Its tools keep their own names, without the alias in front; one that another tool has is refused. */
      prefix: z.literal("none").optional(),
      /** How long starting and greeting it may take. */
      connect_timeout: duration("30s", 600_000),
      tools: z.record(z.string().min(1).max(128), toolEntry).default({}),
    })
    .superRefine((entry, context) => {
      const issue = (path: (string | number)[], message: string): void =>
        context.addIssue({ code: "custom", path, message });
      const isHttp = entry.url !== undefined;
      if (isHttp === (entry.command !== undefined)) issue([], "one of command and url is expected");
      if (isHttp && entry.cwd !== undefined) issue(["cwd"], "belongs to a command");
      if (isHttp && Object.keys(entry.env).length > 0)
        issue(["env"], "belongs to a command; a url has headers");
      if (!isHttp && Object.keys(entry.headers).length > 0)
        issue(["headers"], "belong to a url; a command has env");
      for (const key of ["env", "headers"] as const) {
        for (const name of noLiteralSecrets(entry[key])) {
          issue(
            [key, name],
            "a secret is not written here: { from_env: NAME } or { file: /path } is expected",
          );
        }
      }
    }),
);
export type UpstreamRegistration = z.infer<typeof upstreamRegistration>;
export type UpstreamRegistrations = Readonly<Record<string, UpstreamRegistration>>;

/** `upstreams:` of countersign.yaml. */
export const upstreamsSchema = later(() =>
  z.record(
    z
      .string()
      .regex(ALIAS, "an alias in lower case is expected, such as files")
      .refine(
        (alias) => !/^countersign\b/.test(alias),
        "names that begin with countersign are the gateway's own",
      ),
    upstreamRegistration,
  ),
);

function isSafe(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}
