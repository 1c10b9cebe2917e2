import { createHash } from "node:crypto";
import { Hono, type Context } from "hono";
import * as z from "zod";
import { actorName, callerOf, mayUse, type Actor, type ApiEnv, type Scope } from "./actor.ts";
import { readJson } from "./json-body.ts";
import { answerProblem, problem, type Problem } from "./problem.ts";
import type { RateLimits } from "./rate-limits.ts";
import { createReplays } from "./replays.ts";

// One route of the API: what it is called, who may use it, what goes in, what comes out. The server and the OpenAPI
// document are made from the same definition, so neither can say what the other does not do.

export type Answer =
  | {
      readonly document: unknown;
      readonly status?: 200 | 201 | 202;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly refused: Problem }
  | Response;

/** What a handler is given. Query and body are parsed; everything in them is known. */
export interface Asked<Q, B> {
  readonly actor: Actor;
  readonly query: Q;
  readonly body: B;
  /** What stands in the path for `:name`. */
  param(name: string): string;
  header(name: string): string | undefined;
  /** Aborted when whoever asked is gone. */
  readonly signal: AbortSignal;
}

export interface RouteSpec<Q extends z.ZodType, B extends z.ZodType> {
  readonly method: "GET" | "POST";
  /** Below `/api/v1`, with `:name` for what varies. */
  readonly path: string;
  /** `listRequests`: for generated clients. */
  readonly id: string;
  readonly tag: "requests" | "decisions" | "log" | "policy" | "people" | "gateway";
  readonly summary: string;
  readonly description?: string;
  /** What a token needs; null: anybody, also without credentials. */
  readonly scope: Scope | null;
  /** `person`: a session. `program`: a token that acts for a principal and agent. Absent: either. */
  readonly who?: "person" | "program";
  readonly query?: Q;
  readonly body?: B;
  /** Bytes of the body; default 64 KiB. */
  readonly maxBytes?: number;
  /** Takes an `Idempotency-Key`: the same key and body again gets the same answer. */
  readonly replays?: true;
  /** Carries a proof: wrong ones are limited. */
  readonly proof?: true;
  /** Answers by status, as JSON unless `media` says otherwise. */
  readonly answers: Readonly<
    Partial<
      Record<200 | 202, { readonly description: string; readonly schema: z.ZodType; readonly media?: string }>
    >
  >;
  /** Codes of the problems that callers should expect beside those that every route has. */
  readonly problems: readonly string[];
  handle(asked: Asked<z.output<Q>, z.output<B>>): Promise<Answer>;
}

/** A route whose types are its own business. */
export type Route = Omit<RouteSpec<z.ZodType, z.ZodType>, "handle"> & {
  handle(asked: Asked<never, never>): Promise<Answer>;
};

/** A route that is described here and served by an app of its own. */
export type RouteDoc = Omit<Route, "handle" | "method" | "answers"> & {
  readonly method: Route["method"] | "DELETE";
  /** An answer without a body has no schema. */
  readonly answers: Readonly<
    Partial<
      Record<
        200 | 202 | 302,
        { readonly description: string; readonly schema?: z.ZodType; readonly media?: string }
      >
    >
  >;
};

export const defineRoute = <Q extends z.ZodType = z.ZodUndefined, B extends z.ZodType = z.ZodUndefined>(
  route: RouteSpec<Q, B>,
): Route => route;

const MAX_BODY_BYTES = 64 * 1024;
/** A proof that did not verify, or was somebody else's. */
const WRONG_PROOFS: ReadonlySet<string> = new Set([
  "invalid_signature",
  "signature_invalid",
  "unknown_signer",
  "wrong_person",
]);

/** The routes as an app, to be mounted under `/api/v1`. */
export function mountRoutes(routes: readonly Route[], limits: RateLimits): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const replays = createReplays<Answer>((answer) => !(answer instanceof Response) && !isServerFault(answer));
  for (const route of routes) {
    app.on(route.method, route.path, async (c) => {
      const answer = await serve(route, c, replays, limits);
      if (answer instanceof Response) {
        // HEAD is served as GET without its body; a body that nobody reads would be held open for ever.
        if (c.req.method === "HEAD") await answer.body?.cancel();
        return answer;
      }
      if ("refused" in answer) return answerProblem(answer.refused);
      return c.json(answer.document as never, answer.status ?? 200, answer.headers);
    });
  }
  return app;
}

const isServerFault = (answer: Exclude<Answer, Response>): boolean =>
  "refused" in answer && answer.refused.status >= 500;

const nobody: Actor = { kind: "token", name: "nobody", scopes: new Set(), acts: null };

async function serve(
  route: Route,
  c: Context<ApiEnv>,
  replays: ReturnType<typeof createReplays<Answer>>,
  limits: RateLimits,
): Promise<Answer> {
  const actor = c.get("actor") ?? (route.scope === null ? nobody : null);
  const barred = actor === null ? problem("unauthenticated") : barrier(route, actor);
  if (barred !== null || actor === null) return { refused: barred ?? problem("unauthenticated") };
  const name = actorName(actor);
  const waiting = route.proof === true ? limits.look("wrongProofs", name) : null;
  if (waiting !== null) return { refused: tooMany(waiting) };

  const query = (route.query ?? z.unknown()).safeParse(c.req.query());
  if (!query.success) return { refused: malformed(query.error, "query") };
  let body: unknown = undefined;
  let bytes: Uint8Array = new Uint8Array();
  if (route.body !== undefined) {
    const read = await readJson(c, route.maxBytes ?? MAX_BODY_BYTES);
    if ("problem" in read) return { refused: read.problem };
    const parsed = route.body.safeParse(read.value);
    if (!parsed.success) return { refused: malformed(parsed.error, "body") };
    ({ bytes } = read);
    body = parsed.data;
  }
  const work = async (): Promise<Answer> =>
    route.handle({
      actor,
      query: query.data as never,
      body: body as never,
      param: (param) => c.req.param(param) ?? "",
      header: (header) => c.req.header(header),
      signal: c.req.raw.signal,
    });
  const answer = await once(route, c, name, bytes, work, replays);
  if (route.proof === true && !(answer instanceof Response) && "refused" in answer) {
    if (WRONG_PROOFS.has(answer.refused.code)) limits.take("wrongProofs", name);
  }
  return answer;
}

/** Why this actor may not use the route at all; null where it may. */
function barrier(route: Route, actor: Actor): Problem | null {
  if (route.scope === null) return null;
  if (route.who === "person" && actor.kind !== "session") return problem("needs_session");
  if (!mayUse(actor, route.scope)) {
    const detail = `the token "${actorName(actor).slice(6)}" lacks the scope ${route.scope}`;
    return { ...problem("scope_missing", detail), scope: route.scope };
  }
  if (route.who === "program" && callerOf(actor) === null) return problem("needs_acting_token");
  return null;
}

async function once(
  route: Route,
  c: Context<ApiEnv>,
  actor: string,
  bytes: Uint8Array,
  work: () => Promise<Answer>,
  replays: ReturnType<typeof createReplays<Answer>>,
): Promise<Answer> {
  const key = c.req.header("idempotency-key");
  if (key !== undefined && !isIdempotencyKey(key)) {
    return { refused: problem("bad_request", "Idempotency-Key must be 1 to 255 visible ASCII characters") };
  }
  if (key === undefined || route.replays !== true) return work();
  const content = createHash("sha256").update(`${route.id}\n${c.req.path}\n`).update(bytes).digest("hex");
  // Keys are each actor's own: one learns nothing of another's answers, and can't take their keys away.
  const answer = await replays.run(`${actor} ${key}`, content, work);
  return answer === "reused" ? { refused: problem("key_reused") } : answer;
}

export const isIdempotencyKey = (key: string): boolean => /^[\x21-\x7e]{1,255}$/.test(key);

function malformed(error: z.ZodError, where: "query" | "body"): Problem {
  const issue = error.issues[0];
  const path = issue?.path.map(String).join(where === "query" ? "." : "/") ?? "";
  return problem(
    "bad_request",
    `${where === "query" ? path : `/${path}`}: ${issue?.message ?? ""}`.slice(0, 500),
  );
}

/** Too much in too short a time; `retryAfterMs` from now there is room again. */
export const tooMany = (retryAfterMs: number): Problem => ({
  ...problem("too_many", `try again in ${Math.ceil(retryAfterMs / 1_000)} s`),
  retry_after_ms: retryAfterMs,
});
