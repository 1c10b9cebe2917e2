import { writeSync } from "node:fs";
import { batchOf, staleDraft } from "./drafts.ts";
import { openAt } from "./embedded-bed.ts";
import { auditMessage } from "./store-audit.ts";

// A process that appends as fast as it can until it is killed: `store-writer.ts <dir> <name> <callers> <segment bytes>`.
// It says on stdout what was acknowledged, in one synchronous write each, so that a kill cannot take a line back.

const [dir, name, callers, segmentBytes] = process.argv.slice(2) as [string, string, string, string];
const store = await openAt(dir, { segmentBytes: Number(segmentBytes) });
let next = 0;

async function call(): Promise<void> {
  for (;;) {
    const batch = next++;
    const size = 1 + (batch % 3);
    const drafts = Array.from({ length: size }, (_, i) =>
      staleDraft("policy", auditMessage(name, batch, i, size)),
    );
    const result = await store.append(batchOf(drafts));
    if (result.ok) writeSync(1, `${name}:${batch}\n`);
    if (batch % 500 === 499) await store.writeSnapshot();
  }
}

writeSync(1, "open\n");
await Promise.all(Array.from({ length: Number(callers) }, call));
