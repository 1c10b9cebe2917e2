import { createHash } from "node:crypto";
import { Hono, type Context } from "hono";
import { z } from "zod";
import { isDigest, type Digest } from "../../base/digest.ts";
import { questionDigest, type Question } from "../../consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../consent/statement.ts";
import { isFault } from "../../errors.ts";
import type { RequestSummary } from "../../request/summary.ts";
import type { ApiParts } from "./api.ts";
import { parseDecision } from "./decision-body.ts";
import { answerProblem, decisionProblem, problem, type Problem } from "./problem.ts";
import { createReplays } from "./replays.ts";

/** Everything under `/api/v1`. */
export function apiRoutes(parts: Pick<ApiParts, "home" | "receipt">): Hono {
  const { desk, requests, store } = parts.home;
  const replays = createReplays<Answer>((answer) => answer.status < 500);
  const routes = new Hono();

  routes.get("/health", (c) => c.json({ status: "ok" }));

  routes.get("/requests", async (c) => {
    const limit = Number(c.req.query("limit") ?? "50");
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) {
      return answerProblem(problem("bad_request", "limit must be a whole number from 1 to 1000"));
    }
    await store.catchUp();
    return c.json({ requests: requests.list(limit) });
  });

  routes.get("/requests/:ref", async (c) => {
    const summary = await find(c);
    const asked = await questionOf(summary);
    const open = await desk.open(summary.id).catch(unlessNotFound);
    return c.json({
      request: summary,
      state: summary.phase,
      question: asked,
      digest: asked === null ? null : questionDigest(asked),
      deadline: asked?.deadline ?? null,
      requirement: open?.requirement ?? null,
      quorum: open?.quorum ?? null,
      decisions: open?.decisions ?? [],
      // The view of a request that has ended is a document of the log, not something to decide on any more.
      view: open?.view ?? null,
    });
  });

  routes.get("/requests/:ref/draft", async (c) => {
    const parsed = draftQuery.safeParse(c.req.query());
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return answerProblem(problem("bad_request", `${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`));
    }
    const { person, decision, reason, log_size: size, log_root: root } = parsed.data;
    const summary = await find(c);
    const log = size === undefined || root === undefined ? null : { size, root };
    const statement: Statement = await desk.draft(summary.id, {
      decision,
      person,
      reason: reason ?? null,
      log,
    });
    const bytes = Buffer.from(statementBytes(statement)).toString("base64");
    return c.json({ statement, sign: { namespace: SSHSIG_NAMESPACE, bytes } });
  });

  routes.post("/requests/:ref/decisions", async (c) => {
    const body = await readJson(c);
    if ("problem" in body) return answerProblem(body.problem);
    const key = c.req.header("idempotency-key");
    if (key !== undefined && !/^[\x21-\x7e]{1,255}$/.test(key)) {
      return answerProblem(
        problem("bad_request", "Idempotency-Key must be 1 to 255 visible ASCII characters"),
      );
    }
    const reference = c.req.param("ref");
    const work = (): Promise<Answer> => decide(reference, body.value);
    const content = createHash("sha256").update(`${reference}\n`).update(body.bytes).digest("hex");
    const answer = key === undefined ? await work() : await replays.run(key, content, work);
    if (answer === "reused") return answerProblem(problem("key_reused"));
    return "refused" in answer ? answerProblem(answer.refused) : c.json(answer.document as never);
  });

  routes.get("/log/checkpoint", async (c) => {
    await store.catchUp();
    const { size, root } = store.head();
    return c.json({ log: store.logId, checkpoint: await store.checkpoint(), size, root });
  });

  routes.get("/requests/:ref/receipt", async (c) => {
    if (parts.receipt === undefined)
      return answerProblem(problem("not_found", "this gateway gives no receipts"));
    const summary = await find(c);
    const text = await parts.receipt(summary.id);
    // The file as it is: what is saved from here is what `countersign verify` reads.
    return c.body(text, 200, {
      "content-type": text.startsWith("{") ? "application/json" : "text/plain; charset=utf-8",
    });
  });

  const find = async (c: Context): Promise<RequestSummary> => {
    await store.catchUp();
    return requests.find(c.req.param("ref") ?? "");
  };

  /** The question from the log, so that it is there for ended requests too. */
  const questionOf = async (summary: RequestSummary): Promise<Question | null> => {
    for (const entry of await requests.history(summary.id)) {
      if (entry.kind === "consent.asked") return entry.data.question;
    }
    return null;
  };

  const decide = async (reference: string, value: unknown): Promise<Answer> => {
    await store.catchUp();
    const summary = await requests.find(reference);
    const parsed = parseDecision(value);
    if (!parsed.ok) return refusedWith(parsed.error);
    const { statement, proof } = parsed.value;
    const asked = await questionOf(summary);
    // A statement is about its question, whatever path it came by; a path that says otherwise is a mistake to show.
    if (asked === null || questionDigest(asked) !== statement.question)
      return refusedWith(problem("other_question"));
    const decided = await desk.decide(statement, proof);
    if (!decided.ok) return refusedWith(decisionProblem(decided.error.code, decided.error.message));
    return { status: 200, document: decided.value };
  };

  return routes;
}

/** Null where the desk has no open question; anything else goes on. */
const unlessNotFound = (error: unknown): null => {
  if (isFault(error, "REQUEST_NOT_FOUND")) return null;
  throw error;
};

type Answer =
  | { readonly status: 200; readonly document: unknown }
  | { readonly status: number; readonly refused: Problem };

const refusedWith = (refused: Problem): Answer => ({ status: refused.status, refused });

const draftQuery = z.strictObject({
  person: z.string().min(1).max(128),
  decision: z.enum(["approve", "deny", "take_back"]),
  reason: z.string().max(2_000).optional(),
  log_size: z.coerce.number().int().nonnegative().optional(),
  log_root: z.custom<Digest>(isDigest, "expected sha256: and 64 hex digits").optional(),
});

const MAX_BODY_BYTES = 64 * 1024;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

type Read = { readonly value: unknown; readonly bytes: Uint8Array } | { readonly problem: Problem };

/** The body, whole and within the limit; bytes that a lenient decoder would change are refused. */
async function readJson(c: Context): Promise<Read> {
  const type = (c.req.header("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") return { problem: problem("wrong_media_type") };
  if ((c.req.header("content-encoding") ?? "identity") !== "identity") {
    return { problem: problem("wrong_media_type", "content-encoding is not served") };
  }
  if (Number(c.req.header("content-length") ?? 0) > MAX_BODY_BYTES) return { problem: problem("too_large") };
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return { problem: problem("too_large") };
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  try {
    return { value: JSON.parse(decoder.decode(bytes)), bytes };
  } catch {
    return { problem: problem("bad_request", "the body is not JSON in UTF-8") };
  }
}
