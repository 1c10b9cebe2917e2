import { openBenchStore } from "./store-home.ts";

// Opens the store named on the command line and prints how long that took, in milliseconds.
const start = performance.now();
const store = await openBenchStore(process.argv[2] as string, false);
const took = performance.now() - start;
if (store.head().size < 100_000) throw new Error(`only ${store.head().size} entries`);
process.stdout.write(String(took));
await store.close();
