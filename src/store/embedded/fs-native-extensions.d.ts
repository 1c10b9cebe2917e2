// The package ships no types. Only what we call is declared. Linux: open-file-description locks; macOS: BSD locks.
declare module "fs-native-extensions" {
  /** False if another file description holds the lock. */
  export function tryLock(fd: number, offset?: number, length?: number): boolean;
  /** Waits on a thread of libuv's pool. */
  export function waitForLock(fd: number): Promise<void>;
  export function unlock(fd: number): void;
}
