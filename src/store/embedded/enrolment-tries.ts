import { createDurableFile } from "./durable-file.ts";

/** Wrong tries by what the code began with. Losing the file gives an attacker a few more of 2^80. */
interface Tries {
  readonly v: 1;
  readonly wrong: Readonly<Record<string, number>>;
}

/** Only the newest are kept, and few: the whole file is written at each wrong try. */
const MOST_KEPT = 500;

/** Reads and counts wrong enrolment codes, by the digest of their beginning. */
export async function openEnrolmentTries(
  path: string,
): Promise<{ count(beginning: string): number; add(beginning: string): Promise<void> }> {
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
    count: (beginning) => wrong.get(beginning) ?? 0,
    async add(beginning) {
      wrong.set(beginning, (wrong.get(beginning) ?? 0) + 1);
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
