import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// A file system that can lose its power: ext4 in a file, shut down by the kernel without writing its journal, which is
// what a power cut leaves. Needs root and loop devices.

/** linux/fs/ext4: `EXT4_IOC_SHUTDOWN`, `EXT4_GOING_FLAGS_NOLOGFLUSH`. */
const SHUTDOWN = `
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
`;

export interface CutDisk {
  readonly mountPoint: string;
  /** No more of it reaches the disk; what was not flushed is gone. */
  cut(): void;
  /** Comes back as after the power did. */
  restore(): void;
  remove(): void;
}

/** Why no power can be cut here; null where it can. */
export function missingForCuts(): string | null {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "not root";
  for (const tool of ["mkfs.ext4", "mount", "umount", "python3"]) {
    if (spawnSync("which", [tool]).status !== 0) return `no ${tool}`;
  }
  const disk = tryDisk();
  if (typeof disk === "string") return disk;
  disk.remove();
  return null;
}

function tryDisk(): CutDisk | string {
  try {
    const disk = createCutDisk();
    try {
      disk.cut();
      disk.restore();
      return disk;
    } catch (error) {
      disk.remove();
      return String(error).slice(0, 300);
    }
  } catch (error) {
    return String(error).slice(0, 300);
  }
}

export function createCutDisk(megabytes = 96): CutDisk {
  const root = mkdtempSync(join(tmpdir(), "countersign-disk-"));
  const [image, mountPoint] = [join(root, "image"), join(root, "mnt")];
  const run = (command: string, ...args: string[]): void =>
    void execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  mkdirSync(mountPoint);
  run("truncate", "-s", `${megabytes}M`, image);
  run("mkfs.ext4", "-q", "-F", image);
  // The defaults of a plain installation, journal and write barriers included.
  run("mount", "-o", "loop", image, mountPoint);
  let isMounted = true;
  const unmount = (): void => {
    if (!isMounted) return;
    if (spawnSync("umount", [mountPoint]).status !== 0) run("umount", "-l", mountPoint);
    isMounted = false;
  };
  return {
    mountPoint,
    cut: () => run("python3", "-c", SHUTDOWN, mountPoint),
    restore() {
      unmount();
      run("mount", "-o", "loop", image, mountPoint);
      isMounted = true;
    },
    remove() {
      unmount();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
