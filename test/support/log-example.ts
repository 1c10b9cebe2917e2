import { canonicalJson } from "../../src/base/canonical-json.ts";
import type { ConsentEntries } from "../../src/consent/entries.ts";
import { statementBytes } from "../../src/consent/statement.ts";
import { buildReceipt, type Receipt } from "../../src/log/receipt.ts";
import { leafHash, toHex } from "../../src/log/merkle.ts";
import { createStory, requestId, type Story } from "./log-story.ts";
import { sshProof } from "./ssh-proof.ts";

/** The log of docs/log-format.md §12: one request that one person approves. The same bytes each time. */
export function createExampleStory(): Story {
  const story = createStory({ clauses: [{ from: ["sre"], count: 1, assurance: "A2" }] });
  const one = requestId(1);
  story.open();
  story.received(one);
  story.planned(one, "hold");
  const asked = story.asked(one);
  story.decided(asked, "ben", { log: { size: 3, root: story.log.root(3) } });
  return story;
}

export const receiptOfStory = (story: Story, request = requestId(1)): Promise<Receipt> =>
  buildReceipt({
    store: story.log.store,
    requestId: request,
    withBlobs: true,
    resolvePolicy: (text) =>
      JSON.parse(Buffer.from(text).toString()) as Receipt["policies"][number]["document"],
  });

/** The example as the page shows it. */
export function exampleMarkdown(): string {
  const { log, document, revision } = createExampleStory();
  const [asked, decided] = log.lines.slice(4).map((line) => (JSON.parse(line) as { data: unknown }).data) as [
    ConsentEntries["consent.asked"],
    ConsentEntries["decision.recorded"],
  ];
  const block = (name: string, text: string): string => `\`\`\`text example:${name}\n${text}\n\`\`\``;
  return [
    "Six entries: the log is opened, a policy adopted, a request received, planned, asked about, and approved by Ben.",
    block("lines", log.lines.join("\n")),
    "Their leaf hashes, and the root of all six:",
    block("leaves", log.lines.map((line) => toHex(leafHash(Buffer.from(line)))).join("\n")),
    block("root", log.root().slice("sha256:".length)),
    "The log's key, and the checkpoint that it signed:",
    block("vkey", log.signer.vkey),
    block("checkpoint", log.checkpoint()),
    "The resolved policy (cut down to people, groups and agents) as canonical JSON, and its revision:",
    block("policy", canonicalJson(document)),
    block("revision", revision),
    "The question as canonical JSON, its digest and its code:",
    block("question", canonicalJson(asked.question)),
    block("digest", `${asked.digest}\n${asked.code}`),
    "The statement bytes that Ben's key signed, their digest, and the signature as it stands in entry 5:",
    block("statement", Buffer.from(statementBytes(decided.statement)).toString()),
    block("statement-digest", decided.statement_digest),
    block("signature", sshProof(decided.proof).signature),
  ].join("\n\n");
}
