import { expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { createCommons, holdConsent } from "../../src/consent/held-consent.ts";
import { createRequestPacker, holdRequest } from "../../src/request/held-request.ts";
import type { RequestRecord } from "../../src/request/requests.ts";

// A held request and its question are packed. Whoever copies one, in whatever way, has what is in it.

const id = "req_01K000000000000000000000" as RequestId;
const copies: readonly [string, (one: object) => unknown][] = [
  ["a spread", (one) => ({ ...one })],
  ["Object.assign", (one) => Object.assign({}, one)],
  ["structuredClone", (one) => structuredClone(one)],
  ["JSON", (one) => JSON.parse(JSON.stringify(one)) as unknown],
];

test.each(copies)("%s of a held request has its documents", (_, copy) => {
  const documents = {
    received: { tool: "write_note" },
    planned: { summary: "one note" },
    keys: [{ key: "k" }],
  };
  const record = {
    id,
    ...documents,
    phase: "held",
    code: "ABC123",
    receivedAt: 1,
    updatedAt: 2,
    newestSeq: 3,
  };
  const held = holdRequest(createRequestPacker(), record as unknown as RequestRecord);
  expect(copy(held)).toMatchObject(record);
});

test.each(copies)("%s of a waiting question has the question", (_, copy) => {
  const question = {
    requester: { principal: { kind: "person", id: "ana" }, agent: "claude", chain: [], owners: ["ana"] },
    asked_at: "2026-11-22T10:00:00.000Z",
    deadline: "2026-11-22T11:00:00.000Z",
  };
  const asked = {
    question,
    digest: `sha256:${"0a".repeat(32)}`,
    code: "ABC123",
    requirement: { clauses: [] },
  };
  const held = holdConsent(createCommons(), id, asked as unknown as Parameters<typeof holdConsent>[2]);
  expect(copy(held)).toMatchObject({ request: id, question, requester: question.requester, decisions: [] });
});
