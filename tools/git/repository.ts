import { isAbsolute, normalize } from "node:path";
import * as z from "zod";
import { isRefPattern } from "./ref.ts";

// Where a tool's source comes from, as the operator registers it: the repository, the refs that may be used, and how it
// is reached. Shared by every tool that reads a repository.

/** An absolute path in its only spelling. */
export const absolutePath = z
  .string()
  .max(1_024)
  .refine((path) => isAbsolute(path), "an absolute path is expected")
  .refine((path) => !/[\p{Cc}]/u.test(path), "a path without control characters is expected")
  .refine(
    (path) => path === "/" || normalize(path) === path,
    "a path without .., . or doubled slashes is expected",
  )
  .refine((path) => path === "/" || !path.endsWith("/"), "a path without a slash at its end is expected");

/** A directory inside a repository: `services/web`. */
export const directoryPath = z
  .string()
  .max(512)
  .regex(
    /^(?!\.{1,2}(?:\/|$))[^/\\\p{Cc}]+(?:\/(?!\.{1,2}(?:\/|$))[^/\\\p{Cc}]+)*$/u,
    "a relative path such as services/web is expected",
  );

/** What policy sees as the environment of a target. */
export const environmentName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,40}$/, "a name in lower case is expected, such as prod");

const repository = z
  .string()
  .max(1_024)
  .superRefine((text, context) => {
    const problem = repositoryProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });

/** Members of a registration that say where the source is, and which refs of it may be used. */
export const repositoryMembers = {
  /** An absolute path, or a file, ssh or https URL. */
  repository,
  /**
   * Branches and tags that may be used: `main`, `release/*`, `heads/main`, `tags/v*`. `*` stands for anything within
   * one part of the name, `**` also across slashes.
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
};

/** How one repository is reached. */
export interface RepositoryAccess {
  readonly repository: string;
  readonly ssh?: { readonly identity: string; readonly known_hosts: string } | undefined;
  readonly credential?: { readonly name: string; readonly user: string } | undefined;
  readonly ca?: string | undefined;
}

/** What is wrong with members that go with another kind of repository: the member and words for it. */
export function accessProblems(
  entry: RepositoryAccess,
): readonly { readonly key: string; readonly message: string }[] {
  const kind = protocolOf(entry.repository);
  const problems: { key: string; message: string }[] = [];
  if (kind === "ssh" && entry.ssh === undefined) {
    problems.push({ key: "ssh", message: "identity and known_hosts are expected for an ssh repository" });
  }
  for (const [key, only] of [
    ["ssh", "ssh"],
    ["credential", "https"],
    ["ca", "https"],
  ] as const) {
    if (entry[key] !== undefined && kind !== only) {
      problems.push({ key, message: `only an ${only} repository takes it` });
    }
  }
  return problems;
}

export type Protocol = "file" | "ssh" | "https";

/** The one transport a repository is fetched over. */
export function protocolOf(repositoryUrl: string): Protocol {
  if (repositoryUrl.startsWith("https://")) return "https";
  return repositoryUrl.startsWith("ssh://") ? "ssh" : "file";
}

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
