import { randomFillSync } from "node:crypto";

/** Taken from the system's generator at once: asking it costs the same for four kilobytes as for sixteen bytes. */
const pool = Buffer.allocUnsafeSlow(4_096);
let used = pool.length;

/** Random bytes from the system's generator, for salts and ids. Nothing that was given out stays behind. */
export function pooledRandomBytes(count: number): Buffer {
  if (count > pool.length - used) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + count));
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}
