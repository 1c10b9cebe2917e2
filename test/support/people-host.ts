import { getRequestListener } from "@hono/node-server";
import { build } from "esbuild";
import { Hono } from "hono";
import type { IncomingMessage } from "node:http";
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import type { OidcSettings } from "../../src/config/settings.ts";
import type { OpenedHome } from "../../src/compose.ts";
import type { Proof } from "../../src/consent/entries.ts";
import { parseStatement } from "../../src/consent/parse-statement.ts";
import { statementBytes } from "../../src/consent/statement.ts";
import { isFault } from "../../src/errors.ts";
import { createPeople, type People } from "../../src/serve/people.ts";
import type { PeopleEnv } from "../../src/transport/http/people-routes.ts";
import { checkFrontDoor, createFrontDoor, type FrontDoor } from "../../src/transport/http/front-door.ts";
import { listen } from "../../src/transport/http/listen.ts";
import { answerProblem, problem } from "../../src/transport/http/problem.ts";

// A listener for people that holds to the same rules as the gateway's own (Host, Origin, CSRF token), with one page that
// does nothing but load the console's passkey code, and the two routes that a decision needs.

export interface PeopleHost {
  readonly origin: string;
  readonly people: People;
  close(): Promise<void>;
}

export interface PeopleHostOptions {
  readonly home: OpenedHome;
  readonly port?: number;
  readonly oidc?: OidcSettings;
  readonly clock?: Clock;
  /** Pretends that the gateway lies about what is to be signed. */
  readonly swapChallenge?: () => boolean;
}

type Env = PeopleEnv & { readonly Bindings: { readonly incoming: IncomingMessage } };

export async function openPeopleHost(options: PeopleHostOptions): Promise<PeopleHost> {
  const { home } = options;
  const settings = { ...home.settings, oidc: options.oidc ?? null };
  const people = await createPeople(home, settings, options.clock);
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    const session = people.sessions.find(c.req.header("cookie"));
    c.set("actor", session === null ? null : { kind: "session", session });
    if (c.req.method !== "GET") {
      if (c.req.header("origin") === undefined) return answerProblem(problem("wrong_origin"));
      if (session !== null && c.req.header("x-csrf-token") !== session.csrf) {
        return answerProblem(problem("wrong_origin", "the CSRF token is missing"));
      }
    }
    await next();
    return undefined;
  });
  app.get("/", (c) => {
    const actor = c.get("actor");
    const csrf = actor?.kind === "session" ? actor.session.csrf : "";
    return c.html(
      `<!doctype html><meta name="csrf" content="${csrf}"><title>host</title><script type="module" src="/passkey.js"></script>`,
    );
  });
  app.get("/passkey.js", async (c) => c.body(await clientCode(), 200, { "content-type": "text/javascript" }));
  app.get("/api/v1/requests/:ref/draft", async (c) => {
    const actor = c.get("actor");
    const person = c.req.query("person") ?? (actor?.kind === "session" ? actor.session.person : "");
    const { request } = home.desk.find(c.req.param("ref"));
    const decision = c.req.query("decision") === "deny" ? "deny" : "approve";
    const statement = await home.desk.draft(request, { decision, person, reason: null, log: null });
    const bytes = statementBytes(statement);
    const signed = options.swapChallenge?.() === true ? new TextEncoder().encode("something else") : bytes;
    const challenge = createHash("sha256").update(signed).digest("base64url");
    return c.json({ statement, sign: { bytes: Buffer.from(bytes).toString("base64"), challenge } });
  });
  app.post("/api/v1/requests/:ref/decisions", async (c) => {
    const body = await c.req.json<{
      statement: unknown;
      proof: Omit<Proof & { kind: "webauthn" }, "channel">;
    }>();
    try {
      const decided = await home.desk.decide(parseStatement(body.statement), {
        ...body.proof,
        channel: "console",
      });
      return c.json(decided.ok ? decided.value : { refused: decided.error.code });
    } catch (error) {
      if (!isFault(error)) throw error;
      return c.json({ refused: error.code, message: error.message });
    }
  });
  app.route("/api/v1", people.routes);
  app.onError((error) => {
    home.log.error({ err: error }, "people host");
    return answerProblem(problem("internal"));
  });
  const serve = getRequestListener((request, { incoming }) => app.fetch(request, { incoming }), {
    overrideGlobalObjects: false,
  });
  let door: FrontDoor = createFrontDoor(options.port ?? 0, []);
  const listening = await listen({
    host: "localhost",
    port: options.port ?? 0,
    what: "people host",
    setting: "none",
    handle(request, response) {
      // The way back from an identity provider is a navigation from another site; the gateway lets it in too.
      const isBack = request.url?.startsWith("/api/v1/auth/oidc") === true;
      const away = isBack ? null : checkFrontDoor(request, door);
      if (away !== null) response.writeHead(away.status).end(away.message);
      else void serve(request, response);
    },
  });
  door = createFrontDoor(listening.port, ["localhost"]);
  const origin = `http://localhost:${listening.port}`;
  home.credentials.serveAt(origin);
  return {
    origin,
    people,
    close: async () => {
      await people.sessions.flush();
      await listening.close(100);
    },
  };
}

/** The passkey code as a page loads it; its functions on `window`, for a test to call. */
async function clientCode(): Promise<string> {
  const root = join(import.meta.dirname, "../..");
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as passkey from "./src/console/client/passkey.ts"; globalThis.passkey = passkey;`,
      resolveDir: root,
      loader: "ts",
    },
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    alias: { "node:crypto": join(root, "src/console/client/no-node-crypto.ts") },
  });
  return outputFiles[0]?.text ?? "";
}
