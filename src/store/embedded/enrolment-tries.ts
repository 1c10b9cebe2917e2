import { createDurableFile } from "./durable-file.ts";

/** Wrong tries per invitation. Losing the file gives an attacker a few more of 2^80. */
interface Tries {
  readonly v: 1;
  readonly wrong: Readonly<Record<string, number>>;
}

/** Only the newest are kept: there is one open invitation per person at most. */
const MOST_KEPT = 10_000;

/** Reads and counts wrong enrolment codes, by the digest of the right one. */
export async function openEnrolmentTries(
  path: string,
): Promise<{ count(codeDigest: string): number; add(codeDigest: string): Promise<void> }> {
  const file = createDurableFile<Tries>({
    path,
    encode: (tries) => `${JSON.stringify(tries)}\n`,
    decode: (bytes) => {
      try {
        const read = JSON.parse(bytes.toString("utf8")) as Tries;
        return read.v === 1 && typeof read.wrong === "object" ? read : null;
      } catch {
        // Torn or not ours: it counts as absent.
        return null;
      }
    },
    whenChanged: "replace",
  });
  const wrong = new Map(Object.entries((await file.read())?.wrong ?? {}));
  let writing: Promise<void> = Promise.resolve();
  return {
    count: (codeDigest) => wrong.get(codeDigest) ?? 0,
    async add(codeDigest) {
      wrong.set(codeDigest, (wrong.get(codeDigest) ?? 0) + 1);
      for (const oldest of wrong.keys()) {
        if (wrong.size <= MOST_KEPT) break;
        wrong.delete(oldest);
      }
      writing = writing
        .catch(() => undefined)
        .then(() => file.write({ v: 1, wrong: Object.fromEntries(wrong) }));
      await writing;
    },
  };
}
