import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import type { Digest } from "../../src/base/digest.ts";
import type { Git } from "../git/git.ts";
import type { HealthParts } from "./health.ts";
import { openRegisteredMirror, readRef } from "../git/registered-mirror.ts";
import { guardOf, type DeployPlan } from "./plan.ts";
import { registrationDigest, type ServiceRegistration } from "./registration.ts";
import { openRoot, readCurrent } from "./releases.ts";
import type { TreeLimits } from "../git/tree.ts";

/** Caps; what is above them is refused, never shortened. */
export interface DeployLimits extends TreeLimits {
  readonly mirrorBytes: number;
  readonly diffBytes: number;
  /** Milliseconds for one git command. */
  readonly gitTimeoutMs: number;
  /** Milliseconds to wait for another deploy of the same service. */
  readonly lockWaitMs: number;
}

export const DEFAULT_DEPLOY_LIMITS: DeployLimits = {
  entries: 20_000,
  fileBytes: 64 * 1024 * 1024,
  treeBytes: 512 * 1024 * 1024,
  mirrorBytes: 4 * 1024 * 1024 * 1024,
  diffBytes: 2 * 1024 * 1024,
  gitTimeoutMs: 90_000,
  lockWaitMs: 5_000,
};

export interface DeployParts extends HealthParts {
  readonly services: Readonly<Record<string, ServiceRegistration>>;
  readonly git: Git;
  readonly limits: DeployLimits;
}

export interface Service {
  readonly name: string;
  readonly registration: ServiceRegistration;
  readonly digest: Digest;
}

/** @throws ToolRefusal `unknown_service` */
export function findService(parts: DeployParts, name: string): Service {
  const registration = Object.hasOwn(parts.services, name) ? parts.services[name] : undefined;
  if (registration === undefined) throw new ToolRefusal("unknown_service", name);
  return { name, registration, digest: registrationDigest(registration) };
}

/** Refusals that mean the world is another one than the plan's; others mean that it could not be looked at. */
const GONE: ReadonlySet<string> = new Set([
  "unknown_service",
  "ref_unknown",
  "ref_ambiguous",
  "ref_not_allowed",
  "commit_unreachable",
  "current_unmanaged",
]);

/** Hash of everything the plan relies on, as it is now: registration, what the ref stands for, what is served. */
export async function guardNow(parts: DeployParts, plan: DeployPlan, ctx: ToolContext): Promise<string> {
  try {
    const service = findService(parts, plan.service);
    // Another registration may name another repository; nothing of it is touched for a plan of the old one.
    if (service.digest !== plan.registration) return `moved: registration ${service.digest}`;
    const mirror = await openRegisteredMirror(parts, service, ctx);
    const { name, oid } = await mirror.resolve(readRef(plan.requested), ctx.signal);
    const root = await openRoot(service.registration.releases);
    const current = await readCurrent(root, parts.limits.entries);
    return guardOf({ registration: service.digest, root, ref: name, oid, current: current?.digest ?? null });
  } catch (error) {
    if (error instanceof ToolRefusal && GONE.has(error.code)) return `moved: ${error.code}`;
    throw error;
  }
}
