import { createHash } from "node:crypto";
import type { Digest } from "../../src/base/digest.ts";
import type { VerifyConsistency } from "../../src/consent/channels/cli/witness.ts";

// RFC 6962 §2.1, written as the text defines it: slow, recursive, and apart from the product's own tree.

const sha256 = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const node = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right);

function powerBelow(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** MTH(D[n]). */
export function treeHash(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 0) return sha256("");
  if (leaves.length === 1) return sha256(Buffer.of(0), leaves[0] as Uint8Array);
  const k = powerBelow(leaves.length);
  return node(treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)));
}

/** PROOF(m, D[n]), lower-case hex. */
export function consistencyProofOf(m: number, leaves: readonly Uint8Array[]): string[] {
  const sub = (size: number, part: readonly Uint8Array[], whole: boolean): Buffer[] => {
    if (size === part.length) return whole ? [] : [treeHash(part)];
    const k = powerBelow(part.length);
    return size <= k
      ? [...sub(size, part.slice(0, k), whole), treeHash(part.slice(k))]
      : [...sub(size - k, part.slice(k), false), treeHash(part.slice(0, k))];
  };
  return m === leaves.length ? [] : sub(m, leaves, true).map((hash) => hash.toString("hex"));
}

export const rootOf = (leaves: readonly Uint8Array[]): Digest => `sha256:${treeHash(leaves).toString("hex")}`;

/** RFC 9162 §2.1.4.2, step by step. */
export const verifyConsistency: VerifyConsistency = (older, newer, given) => {
  const proof = given.map((hex) => Buffer.from(hex, "hex"));
  if (older.size === newer.size) return proof.length === 0 && older.root === newer.root;
  if (proof.length === 0) return false;
  const oldRoot = Buffer.from(older.root.slice(7), "hex");
  if (Number.isInteger(Math.log2(older.size))) proof.unshift(oldRoot);
  let fn = older.size - 1;
  let sn = newer.size - 1;
  while ((fn & 1) === 1) {
    fn >>= 1;
    sn >>= 1;
  }
  let fr = proof[0] as Buffer;
  let sr = fr;
  for (const step of proof.slice(1)) {
    if (sn === 0) return false;
    if ((fn & 1) === 1 || fn === sn) {
      fr = node(step, fr);
      sr = node(step, sr);
      while ((fn & 1) === 0 && fn !== 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else sr = node(sr, step);
    fn >>= 1;
    sn >>= 1;
  }
  return sn === 0 && fr.equals(oldRoot) && `sha256:${sr.toString("hex")}` === newer.root;
};
