import { createPacker, type Packer } from "../base/packed-json.ts";

// How what is held of requests and of their questions is packed: which members differ from one to the next, and which
// are the policy's, the tool's or the client's, and so the same for many.

const OWN = ["agent", "chain", "guard", "owners"];
const OWN_ID_OF: ReadonlySet<string> = new Set(["principal", "targets"]);
const SHARED = ["registration"];

/** A packer for values that have `own` members of their own, and share the digests under `shared`, besides those of all. */
export function createHeldPacker(own: readonly string[], shared: readonly string[]): Packer {
  const owned = new Set([...OWN, ...own]);
  const common = new Set([...SHARED, ...shared]);
  return createPacker(
    (name, parent) => owned.has(name) || (name === "id" && OWN_ID_OF.has(parent)),
    (name) => common.has(name),
  );
}
