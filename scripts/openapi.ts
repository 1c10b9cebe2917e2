// Writes docs/openapi.json from the routes that serve: `npx tsx scripts/openapi.ts`.
// test/transport/http/openapi.test.ts fails where the file is not current.
import { readFile, writeFile } from "node:fs/promises";
import { openApiText } from "../src/transport/http/api-document.ts";

const { version } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
await writeFile(new URL("../docs/openapi.json", import.meta.url), openApiText(version));
