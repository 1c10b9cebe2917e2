import { readlink } from "node:fs/promises";
import { join } from "node:path";
import type { ToolContext, ToolPreview } from "../../src/tool.ts";
import { readRange } from "./history.ts";
import { sealManifest, type Manifest } from "../git/manifest.ts";
import { keepName } from "../git/mirror-room.ts";
import { openObjects, readTyped, type ObjectReader } from "../git/objects.ts";
import { openRegisteredMirror, readRef } from "../git/registered-mirror.ts";
import { guardOf, releaseId, type DeployPlan } from "./plan.ts";
import { lstatOrNull, openRoot, readCurrent, readRegular, releaseDir } from "./releases.ts";
import { findService, type DeployParts } from "./service.ts";
import { descend, readCommit, readTree } from "../git/tree.ts";
import { buildView } from "./view.ts";

export const MANIFEST_FILE = "manifest.json";
/** Milliseconds a plan may wait; its objects are held for longer than that. */
export const PLAN_LIFE_MS = 24 * 3_600_000;

/**
 * Fetches the ref into our own mirror and works out what a deploy of it would change. The release root is only read.
 * @throws ToolRefusal
 */
export async function previewDeploy(
  parts: DeployParts,
  input: { readonly service: string; readonly ref: string },
  ctx: ToolContext,
): Promise<ToolPreview<DeployPlan>> {
  const service = findService(parts, input.service);
  const { registration } = service;
  const ref = readRef(input.ref);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(ctx.requestId)) throw new TypeError("a request id is expected");
  const root = await openRoot(registration.releases);
  const mirror = await openRegisteredMirror(parts, service, ctx);
  const held = keepName(ctx.requestId, ctx.now());
  let reader: ObjectReader | undefined;
  try {
    ctx.progress("fetching the source");
    const resolved = await mirror.fetch(ref, held, ctx.signal);
    reader = openObjects(parts.git, mirror.dir, ctx.signal);
    const objects = reader;
    ctx.progress("reading the tree");
    const source = await readCommit(objects, resolved.oid);
    const tree =
      registration.directory === undefined
        ? source.tree
        : await descend(objects, source.tree, registration.directory);
    const manifest: Manifest = {
      v: 1,
      commit: source.commit,
      tree,
      files: [...(await readTree(objects, tree, parts.limits))],
    };
    const sealed = sealManifest(manifest);
    ctx.progress("comparing with the current release");
    const current = await readCurrent(root, parts.limits.entries);
    const range = await readRange(mirror, objects, {
      from: current?.manifest?.commit ?? null,
      to: source.commit,
      signal: ctx.signal,
    });
    const plan: DeployPlan = {
      v: 1,
      service: service.name,
      environment: registration.environment,
      requested: input.ref,
      ref: resolved.name,
      oid: resolved.oid,
      commit: source.commit,
      tree,
      registration: service.digest,
      root,
      previous: current === null ? null : { release: current.id, link: current.link, digest: current.digest },
      release: releaseId(ctx.now(), source.commit, ctx.requestId),
      keep: registration.keep,
      check: registration.check ?? null,
      health: registration.health ?? null,
      manifest: {
        sha256: sealed.sha256,
        files: manifest.files.length,
        bytes: manifest.files.reduce((sum, file) => sum + file.size, 0),
      },
      held,
      guard: guardOf({
        registration: service.digest,
        root,
        ref: resolved.name,
        oid: resolved.oid,
        current: current?.digest ?? null,
      }),
    };
    const view = await buildView({
      plan,
      refKind: resolved.kind,
      manifest,
      current,
      range,
      maxDiffBytes: parts.limits.diffBytes,
      readNew: (file) => readTyped(objects, file.oid, "blob", file.size),
      readOld: (path) => readOld(join(releaseDir(root, current?.id ?? ""), path), parts.limits.fileBytes),
    });
    return {
      plan,
      view,
      files: [{ name: MANIFEST_FILE, type: "application/json", bytes: sealed.bytes }],
      guard: plan.guard,
      expiresAt: ctx.now() + PLAN_LIFE_MS,
    };
  } catch (error) {
    await mirror.release(held);
    throw error;
  } finally {
    await reader?.close();
  }
}

async function readOld(path: string, maxBytes: number): Promise<Buffer | null> {
  const stat = await lstatOrNull(path);
  if (stat?.isSymbolicLink() === true) return Buffer.from(await readlink(path));
  return readRegular(path, maxBytes);
}
