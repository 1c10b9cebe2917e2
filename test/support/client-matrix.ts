import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { TASK_CLIENT_KINDS, type TaskClientKind } from "./task-clients.ts";
import { taskCases } from "./task-matrix.ts";
import {
  CLIENT_KINDS,
  type ClientKind,
  type Endpoint,
  type TestClient,
  type ToolResult,
} from "./mcp-clients.ts";

export { eventually } from "./eventually.ts";

// What every client must get from a gateway, whatever it speaks. Runs against a scripted gate and the real one alike.

/** A gateway under test, seen from both sides: as clients reach it, and as the people do. */
export interface MatrixTarget {
  readonly stdio: Endpoint & { readonly kind: "stdio" };
  readonly http: Endpoint & { readonly kind: "http" };
  /** The gated tool, and arguments that differ for each `n`. What is done in one place changes nothing in another. */
  readonly tool: string;
  readonly args: (n: number, place?: number) => Record<string, unknown>;
  /** How long the gateway holds a call before it gives a ticket. */
  readonly holdMs: number;
  /** Tickets that wait for people now, over all processes of the home. */
  held(): Promise<readonly string[]>;
  approve(ticket: string): Promise<void>;
  deny(ticket: string, words: string): Promise<void>;
  /** A person asks the agent something, and decides nothing. */
  ask(ticket: string, words: string): Promise<void>;
  /** What was answered to the questions about a request, question by question. */
  answers(ticket: string): Promise<readonly (string | null)[]>;
  /** How often the effect for these arguments took place. */
  effects(args: Record<string, unknown>): Promise<number>;
  close(): Promise<void>;
}

/** A case's time counts from when all began, so it holds the waiting for its turn. */
const LONGEST_MS = 600_000;

export function clientMatrix(
  name: string,
  open: () => Promise<MatrixTarget>,
  kinds: readonly ClientKind[] = CLIENT_KINDS,
  taskKinds: readonly TaskClientKind[] = TASK_CLIENT_KINDS,
): void {
  // All clients at once, because what they do most is wait: each in a place of its own, where one thing is done after
  // the other. Only calling and seeing what was asked takes turns with the other clients.
  describe.concurrent(name, { timeout: LONGEST_MS }, () => {
    let target: MatrixTarget;
    let counter = 0;
    beforeAll(async () => {
      target = await open();
    });
    afterAll(async () => {
      await target.close();
    });
    const asking = createTurns();
    [...kinds, ...taskKinds].forEach((kind, place) => {
      const cell: MatrixCell = {
        target: () => target,
        next: () => target.args((counter += 1), place),
        asking,
        alone: createTurns(),
      };
      describe(kind.name, () => ("era" in kind ? cases(kind, cell) : taskCases(kind, cell)));
    });
  });
}

/** What the cases of one client share. */
export interface MatrixCell {
  readonly target: () => MatrixTarget;
  /** Arguments that nobody used before, in the client's own place. */
  readonly next: () => Record<string, unknown>;
  /** Held while a call is made and until its ticket is seen, so that it is known whose that is. */
  readonly asking: Turns;
  /** Held by one case of the client at a time. */
  readonly alone: Turns;
}

export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/** One after the other, in the order in which they came. */
function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

function cases(kind: ClientKind, { target, next, asking, alone }: MatrixCell): void {
  let client: TestClient;
  beforeAll(async () => {
    client = await kind.connect(target()[kind.over]);
  });
  afterAll(async () => {
    await client.close();
  });

  /** Calls, and gives the ticket that this call made people look at. */
  const hold = async (
    args: Record<string, unknown>,
    options: Parameters<TestClient["call"]>[2] = {},
  ): Promise<{ ticket: string; answer: Promise<ToolResult> }> =>
    asking(async () => {
      const before = new Set(await target().held());
      const answer = client.call(target().tool, args, options);
      answer.catch(() => undefined);
      const ticket = await eventually(async () => (await target().held()).find((id) => !before.has(id)));
      return { ticket, answer };
    });
  const waitFor = (ticket: string): Promise<ToolResult> => client.call("countersign_wait", { ticket });

  test("settles on the protocol revision it was made for", () => {
    if (client.protocolVersion === undefined) return;
    expect(client.protocolVersion).toBe(kind.era === "modern" ? "2026-07-28" : "2025-11-25");
  });

  test("sees the gated tool and the three tools that act on a ticket, and nothing that approves (P1)", () =>
    alone(async () => {
      const names = (await client.tools()).map((tool) => tool.name);
      expect(names).toContain(target().tool);
      expect(names).toContain("countersign_wait");
      expect(names).toContain("countersign_answer");
      expect(names).toContain("countersign_withdraw");
      expect(names.filter((tool) => /approv|grant|decide|sign$|policy|adopt/.test(tool))).toEqual([]);
    }));

  test("gets the result of a held call once it is approved, and the effect once (G1, G3)", () =>
    alone(async () => {
      const args = next();
      const { ticket, answer } = await hold(args);
      expect(await target().effects(args)).toBe(0);
      await target().approve(ticket);
      const result = await finish(await answer, waitFor);
      expect(result.data).toMatchObject({ status: "done", requestId: ticket });
      expect(result.isError).toBe(false);
      expect(await target().effects(args)).toBe(1);
    }));

  test("gets the person's words when a held call is denied, and nothing runs (G1)", () =>
    alone(async () => {
      const args = next();
      const { ticket, answer } = await hold(args);
      await target().deny(ticket, "not during the release freeze");
      const result = await finish(await answer, waitFor);
      expect(result.isError).toBe(true);
      expect(result.data).toMatchObject({
        status: "refused",
        code: "denied_by_person",
        class: "denied_final",
        deniedBy: "person",
        reason: "not during the release freeze",
      });
      expect(result.text).toContain("> not during the release freeze");
      expect(await target().effects(args)).toBe(0);
    }));

  test("is asked by a person before they decide, answers, and is approved", () =>
    alone(async () => {
      const args = next();
      const { ticket, answer } = await hold(args);
      await target().ask(ticket, "why today?");
      let asked = await answer;
      while (asked.data["inquiries"] === undefined) asked = await waitFor(ticket);
      expect(asked.data).toMatchObject({ status: "pending", inquiries: [{ text: "why today?" }] });
      expect(asked.text).toContain("> why today?");
      const [{ id }] = asked.data["inquiries"] as [{ id: string }];
      const answered = await client.call("countersign_answer", { ticket, inquiry: id, answer: "it is due" });
      expect(answered.data["status"]).toBe("pending");
      expect(answered.data).not.toHaveProperty("inquiries");
      const waiting = waitFor(ticket);
      await target().approve(ticket);
      expect((await finish(await waiting, waitFor)).data).toMatchObject({
        status: "done",
        requestId: ticket,
      });
      expect(await target().effects(args)).toBe(1);
    }));

  test("gets a ticket in place of an endless wait, and the result by it", () =>
    alone(async () => {
      const args = next();
      const { ticket, answer } = await hold(args);
      const pending = await answer;
      expect(pending.isError).toBe(false);
      expect(pending.data).toMatchObject({ status: "pending", ticket });
      expect(pending.text).toContain("countersign_wait");
      const waiting = waitFor(ticket);
      await target().approve(ticket);
      const result = await finish(await waiting, waitFor);
      expect(result.data).toMatchObject({ status: "done", requestId: ticket });
      expect(await target().effects(args)).toBe(1);
    }));

  test("finds its request again after it gave up on the call", () =>
    alone(async () => {
      const args = next();
      const { ticket, answer } = await hold(args, { timeoutMs: Math.max(200, target().holdMs / 4) });
      await expect(answer).rejects.toThrow(/time/i);
      await target().approve(ticket);
      const result = await eventually(async () => {
        const now = await waitFor(ticket);
        return now.data["status"] === "pending" ? undefined : now;
      });
      expect(result.data).toMatchObject({ status: "done", requestId: ticket });
      expect(await target().effects(args)).toBe(1);
    }));

  test("gets the same ticket for a call that it sends again, and the effect once", () =>
    alone(async () => {
      const args = next();
      const first = await hold(args);
      expect((await first.answer).data).toMatchObject({ status: "pending", ticket: first.ticket });
      const again = client.call(target().tool, args);
      expect((await again).data).toMatchObject({ status: "pending", ticket: first.ticket });
      const both = Promise.all([client.call(target().tool, args), waitFor(first.ticket)]);
      await target().approve(first.ticket);
      for (const result of await both) {
        expect((await finish(result, waitFor)).data).toMatchObject({
          status: "done",
          requestId: first.ticket,
        });
      }
      expect(await target().effects(args)).toBe(1);
    }));

  test("is told that a tool does not exist, and that it may correct the call", () =>
    alone(async () => {
      const result = await client.call("deploy_everything", {});
      expect(result.isError).toBe(true);
      expect(result.data).toMatchObject({ status: "refused", code: "unknown_tool", class: "denied_fixable" });
    }));

  test("is told what is wrong with malformed arguments, and nothing is held", () =>
    alone(async () => {
      const { before, result, after } = await asking(async () => ({
        before: await target().held(),
        result: await client.call(target().tool, { ...next(), surprise: true }),
        after: await target().held(),
      }));
      expect(result.isError).toBe(true);
      expect(result.data).toMatchObject({
        status: "refused",
        code: "invalid_arguments",
        class: "denied_fixable",
      });
      expect(after.filter((id) => !before.includes(id))).toEqual([]);
    }));

  test("gets nothing for a ticket that is not its own", () =>
    alone(async () => {
      const result = await client.call("countersign_wait", { ticket: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV" });
      expect(result.isError).toBe(true);
      expect(result.data).toMatchObject({ status: "refused", code: "unknown_ticket" });
    }));
}

/** Follows a ticket until there is an answer. */
async function finish(
  result: ToolResult,
  waitFor: (ticket: string) => Promise<ToolResult>,
): Promise<ToolResult> {
  let now = result;
  for (let round = 0; round < 20 && now.data["status"] === "pending"; round += 1) {
    now = await waitFor(String(now.data["ticket"]));
  }
  return now;
}
