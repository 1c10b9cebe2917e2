import { isAbsolute, normalize } from "node:path";
import { z } from "zod";
import { digestJson, type Digest } from "../../src/base/digest.ts";
import { parseDuration } from "../../src/base/duration.ts";
import { isRefPattern } from "./ref.ts";

// A service as the operator registers it, under `services:` in countersign.yaml. Everything that runs comes from here
// and nothing from the agent or the repository (P5).

const absolutePath = z
  .string()
  .max(1_024)
  .refine((path) => isAbsolute(path), "an absolute path is expected")
  .refine((path) => !/[\p{Cc}]/u.test(path), "a path without control characters is expected")
  .refine(
    (path) => path === "/" || normalize(path) === path,
    "a path without .., . or doubled slashes is expected",
  )
  .refine((path) => path === "/" || !path.endsWith("/"), "a path without a slash at its end is expected");

const duration = (fallback: string): z.ZodType<number, string | undefined> =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms === undefined || ms > 3_600_000) {
        context.addIssue({
          code: "custom",
          message: `a duration of at most 1h is expected, such as 30s or 2m`,
        });
        return z.NEVER;
      }
      return ms;
    });

const command = z.strictObject({
  /** The program, by absolute path, and its arguments. No shell. */
  run: z
    .array(
      z
        .string()
        .max(4_096)
        .refine((word) => !word.includes("\0"), "a word without a NUL is expected"),
    )
    .min(1, "at least the program is expected")
    .max(64)
    .refine(
      (argv) => isAbsolute(argv[0] ?? ""),
      "the program is expected as an absolute path: PATH is not searched",
    ),
  timeout: duration("30s"),
  /** Names of the gateway's environment variables that the command may see. */
  env: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, "the name of a variable is expected"))
    .max(32)
    .default([]),
});
export type HealthCommand = z.infer<typeof command>;

const repository = z
  .string()
  .max(1_024)
  .superRefine((text, context) => {
    const problem = repositoryProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });

/** One entry under `services:`. */
export const serviceRegistration = z
  .strictObject({
    description: z.string().max(500).default(""),
    /** Where the code comes from: an absolute path, or a file, ssh or https URL. */
    repository,
    /** What policy sees as the environment of the target. */
    environment: z.string().regex(/^[a-z][a-z0-9-]{0,40}$/, "a name in lower case is expected, such as prod"),
    /** The release root: holds `releases/<id>/` and the link `current`. */
    releases: absolutePath.refine((path) => path !== "/", "a directory of the service's own is expected"),
    /** How many releases are kept, the current one included. */
    keep: z.int().min(2, "at least 2: the current release and the one before").max(100).default(5),
    /**
     * Branches and tags that may be deployed: `main`, `release/*`, `heads/main`, `tags/v*`. `*` stands for anything
     * within one part of the name, `**` also across slashes.
     */
    refs: z
      .array(
        z
          .string()
          .refine(isRefPattern, "a branch or tag name is expected, in which * may stand for a part of it"),
      )
      .min(1, "at least one pattern is expected")
      .max(50)
      .default(["*"]),
    /** Deploy this subdirectory of the repository instead of the whole. */
    directory: z
      .string()
      .max(512)
      .regex(
        /^(?!\.{1,2}(?:\/|$))[^/\\\p{Cc}]+(?:\/(?!\.{1,2}(?:\/|$))[^/\\\p{Cc}]+)*$/u,
        "a relative path such as services/web is expected",
      )
      .optional(),
    /** Runs in the new release before `current` is switched to it. */
    check: command.optional(),
    /** Runs after the switch; where it fails, `current` is switched back and it runs again. */
    health: command.optional(),
    /** For ssh: the private key and the known hosts; the account's own ssh configuration is not read. */
    ssh: z.strictObject({ identity: absolutePath, known_hosts: absolutePath }).optional(),
    /** For https: the credential whose value is the password, and the user name that goes with it. */
    credential: z
      .strictObject({
        name: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/, "the name of a credential is expected"),
        user: z
          .string()
          .regex(/^[A-Za-z0-9._@+-]{1,100}$/)
          .default("x-access-token"),
      })
      .optional(),
    /** For https: a file of certificate authorities to trust instead of the system's. */
    ca: absolutePath.optional(),
  })
  .superRefine((entry, context) => {
    const kind = protocolOf(entry.repository);
    if (kind === "ssh" && entry.ssh === undefined) {
      context.addIssue({
        code: "custom",
        path: ["ssh"],
        message: "identity and known_hosts are expected for an ssh repository",
      });
    }
    for (const [key, only] of [
      ["ssh", "ssh"],
      ["credential", "https"],
      ["ca", "https"],
    ] as const) {
      if (entry[key] !== undefined && kind !== only) {
        context.addIssue({ code: "custom", path: [key], message: `only an ${only} repository takes it` });
      }
    }
  });
export type ServiceRegistration = z.infer<typeof serviceRegistration>;

/** A service name: the key under `services:` and the agent's `service` argument. */
export const SERVICE_NAME = /^[a-z][a-z0-9-]{0,40}$/;

export type Protocol = "file" | "ssh" | "https";

/** The one transport a repository is fetched over. */
export function protocolOf(repositoryUrl: string): Protocol {
  if (repositoryUrl.startsWith("https://")) return "https";
  return repositoryUrl.startsWith("ssh://") ? "ssh" : "file";
}

/** Digest of a registration: an approval never moves to another (design §11). */
export const registrationDigest = (registration: ServiceRegistration): Digest =>
  digestJson("registry", registration);

function repositoryProblem(text: string): string | undefined {
  if (/[\p{Cc}\s]/u.test(text) && !isAbsolute(text)) return "a URL without blanks is expected";
  if (isAbsolute(text)) {
    const path = absolutePath.safeParse(text);
    return path.success ? undefined : path.error.issues[0]?.message;
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  switch (url?.protocol) {
    case "file:":
      return url.host === "" && isAbsolute(decodeURIComponent(url.pathname))
        ? undefined
        : "file:///absolute/path is expected";
    case "https:":
      if (url.username !== "" || url.password !== "")
        return "a URL without a password is expected; name a credential instead";
      return url.search === "" && url.hash === "" ? undefined : "a URL without ? and # is expected";
    case "ssh:":
      // ssh takes the host and the user as arguments of its own.
      if (url.password !== "" || !/^[a-zA-Z0-9]/.test(url.hostname) || url.username.startsWith("-"))
        return "ssh://user@host/path is expected";
      return url.search === "" && url.hash === "" ? undefined : "a URL without ? and # is expected";
    default:
      return "an absolute path, or a URL with file, ssh or https is expected";
  }
}
