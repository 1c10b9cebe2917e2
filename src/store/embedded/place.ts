import { statfs } from "node:fs/promises";
import { readFileSync, realpathSync } from "node:fs";
import { sep } from "node:path";
import { CountersignError } from "../../errors.ts";
import type { Files } from "./files.ts";

// Where a log may lie. On a network file system locks and flushes are promises of another machine; in a synced folder
// a second program rewrites files behind our back. Neither can be made safe from here, so both are refused.

/** linux/magic.h and the file systems' own headers. */
const NETWORK_TYPES: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB"],
  [0xff534d42, "CIFS"],
  [0x01021997, "9p"],
  [0x5346414f, "AFS"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x73757245, "Coda"],
]);
const FUSE = 0x65735546;
/** FUSE file systems that keep their data on this machine. */
const LOCAL_FUSE = new Set(["fuseblk", "fuse.fuse-overlayfs", "fuse.lxcfs", "virtiofs"]);

const SYNCED = [
  /^dropbox( \(.*\))?$/i,
  /^onedrive( ?- ?.*)?$/i,
  /^google ?drive(-.*)?$/i,
  /^icloud ?drive$/i,
  /^mobile documents$/i,
  /^cloudstorage$/i,
  /^com~apple~clouddocs$/i,
];

/** How the system describes a directory; passed in so that the rule can be tried without such a disk. */
export interface PlaceProbe {
  /** `f_type` of statfs(2). */
  fileSystemType(path: string): Promise<number>;
  /** File system name of the mount that holds the path, e.g. `fuse.sshfs`; null where that cannot be told. */
  mountType(path: string): string | null;
  realPath(path: string): string;
}

export const systemPlace: PlaceProbe = {
  fileSystemType: async (path) => (await statfs(path)).type,
  mountType: (path) => mountTypeIn(readFileSync("/proc/self/mountinfo", "utf8"), path),
  realPath: (path) => realpathSync(path),
};

/** proc(5): `36 35 98:0 /root /mount/point options… - type source super-options`; the longest mount point wins. */
export function mountTypeIn(mountinfo: string, path: string): string | null {
  let best: { point: string; type: string } | null = null;
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const point = before
      ?.split(" ")[4]
      ?.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const type = after?.split(" ")[0];
    if (point === undefined || type === undefined) continue;
    const isAbove = point === "/" || path === point || path.startsWith(`${point}/`);
    if (isAbove && (best === null || point.length >= best.point.length)) best = { point, type };
  }
  return best?.type ?? null;
}

/**
 * Refuses a directory that cannot hold a log. Elsewhere than on Linux only synced folders are recognised.
 * @throws CountersignError `STORE_UNSUPPORTED`
 */
export async function refuseUnsafePlace(dir: string, probe: PlaceProbe = systemPlace): Promise<void> {
  const path = probe.realPath(dir);
  const synced = path.split(sep).find((name) => SYNCED.some((pattern) => pattern.test(name)));
  if (synced !== undefined) refuse(path, `"${synced}" is a synced folder`);
  if (process.platform !== "linux") return;
  const type = await probe.fileSystemType(path);
  const network = NETWORK_TYPES.get(type >>> 0);
  if (network !== undefined) refuse(path, `it is on a network file system (${network})`);
  if (type >>> 0 === FUSE) {
    const name = probe.mountType(path);
    if (name === null || !LOCAL_FUSE.has(name))
      refuse(path, `it is on a FUSE file system (${name ?? "unknown"})`);
  }
}

function refuse(path: string, why: string): never {
  throw new CountersignError("STORE_UNSUPPORTED", `no log can be kept in ${path}: ${why}`, {
    hint: "choose a home on a local disk: --home DIR",
  });
}

/** Bytes that an unprivileged process may still write in the file system of `dir`. */
export async function freeBytes(dir: string): Promise<number> {
  const stat = await statfs(dir);
  return stat.bavail * stat.bsize;
}

/**
 * Refuses a key that others can read or a directory that others can write.
 * @throws CountersignError `HOME_INSECURE`
 */
export function refuseReadableByOthers(files: Files, path: string): void {
  const stat = files.stat(path);
  if (stat === null || process.platform === "win32") return;
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new CountersignError("HOME_INSECURE", `${path} has mode ${mode.toString(8)}; others can reach it`, {
      hint: `chmod ${stat.isDirectory ? "700" : "600"} ${path}`,
    });
  }
}
