import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { FoldPort } from "../../src/store/store.ts";
import {
  openEmbeddedStore,
  type EmbeddedStore,
  type EmbeddedStoreParts,
} from "../../src/store/embedded/embedded-store.ts";
import { checkpointSigner } from "./checkpoint-signer.ts";
import { countingFold } from "./counting-fold.ts";

type Optional = Pick<EmbeddedStoreParts, "files" | "segmentBytes" | "release" | "onFault">;

export interface OpenOptions extends Optional {
  readonly create?: boolean;
  readonly fold?: FoldPort;
  readonly clock?: Clock;
}

/** A data directory of its own. */
export interface EmbeddedBed {
  readonly dir: string;
  readonly logDir: string;
  readonly keysDir: string;
  open(options?: OpenOptions): Promise<EmbeddedStore>;
  remove(): void;
}

/** Opens the embedded store in `dir` with the counting fold and the log's real notes. */
export function openAt(dir: string, options: OpenOptions = {}): Promise<EmbeddedStore> {
  const { create = false, fold = countingFold(), clock = systemClock, ...rest } = options;
  return openEmbeddedStore({
    dir,
    blobsDir: join(dir, "blobs"),
    keysDir: join(dir, "keys"),
    fold,
    clock,
    isolation: "none",
    signer: checkpointSigner,
    ...rest,
    ...(create ? { create: { version: "0.0.0-test" } } : {}),
  });
}

/** A temporary data directory; `privateKey` is what stands in `log.key` before anything is made. */
export function embeddedBed(privateKey?: string): EmbeddedBed {
  const root = mkdtempSync(join(tmpdir(), "countersign-store-"));
  const dir = join(root, "data");
  const keysDir = join(dir, "keys");
  if (privateKey !== undefined) {
    mkdirSync(keysDir, { recursive: true, mode: 0o700 });
    writeFileSync(join(keysDir, "log.key"), privateKey, { mode: 0o600 });
  }
  return {
    dir,
    logDir: join(dir, "log"),
    keysDir,
    open: (options) => openAt(dir, options),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
