import { randomFillSync } from "node:crypto";

/** Taken from the system's generator at once: asking it costs the same for four kilobytes as for sixteen bytes. */
const POOLED = 4_096;
// Made when it is asked for: pages share modules that import this one, and have neither `Buffer` nor a use for it.
let pool: Buffer | null = null;
let used = POOLED;

/** Random bytes from the system's generator, for salts and ids. Nothing that was given out stays behind. */
export function pooledRandomBytes(count: number): Buffer {
  pool ??= Buffer.allocUnsafeSlow(POOLED);
  if (count > pool.length - used) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + count));
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}
