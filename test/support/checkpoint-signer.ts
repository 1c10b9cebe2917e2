import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import type { Digest } from "../../src/base/digest.ts";
import type { CheckpointSigner } from "../../src/store/embedded/checkpoint-file.ts";
import type { LogKey } from "../../src/store/embedded/keys.ts";

/** Signs and opens checkpoints as C2SP signed notes with the log's real key. */
export function checkpointSigner(key: LogKey, isolation: "service" | "none"): CheckpointSigner {
  const privateKey = createPrivateKey(key.privateKeyPem);
  const publicKey = createPublicKey(privateKey);
  return {
    signCheckpoint(size, root) {
      const base64 = Buffer.from(root.slice(7), "hex").toString("base64");
      const text = `${key.name}\n${size}\n${base64}\n${isolation === "none" ? "isolation none\n" : ""}`;
      const signature = Buffer.concat([key.keyHash, sign(null, Buffer.from(text), privateKey)]).toString(
        "base64",
      );
      return `${text}\n\u2014 ${key.name} ${signature}\n`;
    },
    openCheckpoint(note) {
      const [text, signature] = note.split("\n\n\u2014 ");
      const encoded = signature?.split(" ")[1];
      if (text === undefined || encoded === undefined) return null;
      const bytes = Buffer.from(encoded, "base64");
      if (!bytes.subarray(0, 4).equals(key.keyHash)) return null;
      if (!verify(null, Buffer.from(`${text}\n`), publicKey, bytes.subarray(4))) return null;
      const [, size, root] = text.split("\n");
      const digest: Digest = `sha256:${Buffer.from(root as string, "base64").toString("hex")}`;
      return { size: Number(size), root: digest };
    },
  };
}
