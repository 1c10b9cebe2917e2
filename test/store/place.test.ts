import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import {
  freeBytes,
  mountTypeIn,
  refuseUnsafePlace,
  systemPlace,
  type PlaceProbe,
} from "../../src/store/embedded/place.ts";

const EXT4 = 0xef53;
const probe = (over: Partial<PlaceProbe> = {}): PlaceProbe => ({
  fileSystemType: async () => EXT4,
  mountType: () => "ext4",
  realPath: (path) => path,
  ...over,
});
const isUnsupported = (error: unknown): boolean => isFault(error, "STORE_UNSUPPORTED");
const isElsewhere = process.platform !== "linux";

describe("a directory for the log", () => {
  test("on this machine's own temporary disk is accepted", async () => {
    const dir = mkdtempSync(join(tmpdir(), "countersign-place-"));
    await refuseUnsafePlace(dir);
    expect(await freeBytes(dir)).toBeGreaterThan(0);
    rmSync(dir, { recursive: true });
  });

  test.skipIf(isElsewhere).each([
    ["NFS", 0x6969],
    ["SMB", 0x517b],
    ["SMB", 0xfe534d42],
    // statfs(2) reports it as a signed number on some platforms.
    ["SMB", 0xfe534d42 | 0],
    ["CIFS", 0xff534d42],
    ["9p", 0x01021997],
    ["Ceph", 0x00c36400],
  ])("on %s is refused", async (name, type) => {
    const refused = refuseUnsafePlace("/srv/countersign", probe({ fileSystemType: async () => type }));
    await expect(refused).rejects.toSatisfy(isUnsupported);
    await expect(refused).rejects.toThrow(name);
  });

  test.skipIf(isElsewhere)("on FUSE is refused unless its data is known to be local", async () => {
    const on = (mountType: string | null): Promise<void> =>
      refuseUnsafePlace(
        "/srv/x",
        probe({ fileSystemType: async () => 0x65735546, mountType: () => mountType }),
      );
    for (const type of ["fuse.sshfs", "fuse.rclone", "fuse.gcsfuse", "fuse.onedriver", null]) {
      await expect(on(type)).rejects.toSatisfy(isUnsupported);
    }
    await on("fuseblk");
    await on("fuse.fuse-overlayfs");
    await on("virtiofs");
  });

  test.each([
    "/home/ana/Dropbox/countersign/data/log",
    "/home/ana/Dropbox (Work)/x",
    "/Users/ana/Library/Mobile Documents/com~apple~CloudDocs/x",
    "/Users/ana/Library/CloudStorage/GoogleDrive-ana/x",
    "/mnt/c/Users/ana/OneDrive - Acme/x",
    "/home/ana/onedrive/x",
  ])("in a synced folder is refused: %s", async (path) => {
    await expect(refuseUnsafePlace(path, probe())).rejects.toSatisfy(isUnsupported);
  });

  test("a link into a synced folder is refused, a name that only sounds like one is not", async () => {
    const linked = probe({ realPath: () => "/home/ana/Dropbox/data" });
    await expect(refuseUnsafePlace("/srv/data", linked)).rejects.toSatisfy(isUnsupported);
    await refuseUnsafePlace("/home/ana/dropbox-exporter/onedrivers/data", probe());
  });
});

describe("the mount of a path", () => {
  const info = [
    "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    "40 22 0:40 / /mnt/a\\040b rw - fuse.sshfs host:/ rw",
    "41 22 0:41 / /mnt rw - tmpfs tmpfs rw",
    "broken line",
  ].join("\n");

  test("is the longest mount point above it, with its escapes read", () => {
    expect(mountTypeIn(info, "/mnt/a b/c")).toBe("fuse.sshfs");
    expect(mountTypeIn(info, "/mnt/abc")).toBe("tmpfs");
    expect(mountTypeIn(info, "/mntx")).toBe("ext4");
    expect(mountTypeIn("", "/x")).toBeNull();
  });

  test.skipIf(isElsewhere)("is found on this machine", () => {
    expect(systemPlace.mountType("/")).not.toBeNull();
  });
});
