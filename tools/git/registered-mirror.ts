import { join } from "node:path";
import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import type { Git } from "./git.ts";
import { openMirror, type Mirror } from "./mirror.ts";
import { parseRef, type RefRequest } from "./ref.ts";
import { protocolOf, type RepositoryAccess } from "./repository.ts";

/** What a tool's registration says of its source. */
export interface RegisteredSource {
  /** The name in the registry; the mirror's name too. */
  readonly name: string;
  readonly registration: RepositoryAccess & { readonly refs: readonly string[] };
}

/** A ref as a caller names it. @throws ToolRefusal `ref_malformed` */
export function readRef(text: string): RefRequest {
  const ref = parseRef(text);
  if (ref === undefined) throw new ToolRefusal("ref_malformed", text);
  return ref;
}

/** The mirror of a registered repository, made if it is not there. @throws ToolRefusal */
export async function openRegisteredMirror(
  parts: { readonly git: Git; readonly stateDir: string; readonly limits: { readonly mirrorBytes: number } },
  { name, registration }: RegisteredSource,
  ctx: ToolContext,
): Promise<Mirror> {
  await parts.git.ensureUsable(ctx.signal);
  const password =
    protocolOf(registration.repository) === "https" && registration.credential !== undefined
      ? await ctx.creds(registration.credential.name)
      : null;
  return openMirror({
    git: parts.git,
    dir: join(parts.stateDir, "mirrors", `${name}.git`),
    remote: parts.git.remote(registration, password),
    patterns: registration.refs,
    maxBytes: parts.limits.mirrorBytes,
  });
}
