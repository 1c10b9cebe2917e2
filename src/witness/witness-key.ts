import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { CountersignError } from "../errors.ts";
import { createCosigner, type Cosigner } from "../log/cosignature.ts";
import { readText, replaceFile } from "./private-file.ts";

// The witness's own key: two lines, its name and an Ed25519 key as base64 of PKCS#8. It lies with the person who
// watches, in their state directory, and never in the place that is copied or pushed elsewhere.

const TAG = "countersign.witness-key.v1";
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._/:-]{0,118}[A-Za-z0-9])?$/;

/** Whether a witness may be called so: a URL without its scheme, as C2SP tlog-cosignature wants it. */
export const isWitnessName = (name: string): boolean => NAME.test(name);

/**
 * Reads the key, or makes one on first use.
 * @param name what a new key is called; a key that is there keeps its name
 * @throws CountersignError `HOME_INSECURE`, `LOG_KEY_MISMATCH` for a file that is no witness's key
 */
export async function openWitnessKey(
  path: string,
  name?: string,
): Promise<Cosigner & { readonly made: boolean }> {
  const text = await readText(path);
  if (text === null) {
    const chosen = name ?? `countersign.dev/witness/${randomBytes(6).toString("hex")}`;
    const { privateKey } = generateKeyPairSync("ed25519");
    const der = privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
    await replaceFile(path, `${TAG}\n${chosen}\n${der}\n`);
    return { ...cosigner(chosen, der), made: true };
  }
  const { mode } = await stat(path);
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    throw new CountersignError(
      "HOME_INSECURE",
      `${path} has mode ${(mode & 0o777).toString(8)}; others can reach it`,
      {
        hint: `chmod 600 ${path}`,
      },
    );
  }
  const [tag, known, der, rest] = text.split("\n");
  try {
    if (tag !== TAG || known === undefined || !isWitnessName(known) || der === undefined || rest !== "") {
      throw new RangeError("not a key file");
    }
    return { ...cosigner(known, der), made: false };
  } catch (cause) {
    throw new CountersignError("LOG_KEY_MISMATCH", `${path} is not a witness's key`, {
      hint: "put it back from a copy, or remove it: a new key is made, and whoever trusts the old one has to be told",
      cause,
    });
  }
}

function cosigner(name: string, der: string): Cosigner {
  const key = createPrivateKey({ key: Buffer.from(der, "base64"), format: "der", type: "pkcs8" });
  return createCosigner({ name, privateKeyPem: key.export({ format: "pem", type: "pkcs8" }) as string });
}
