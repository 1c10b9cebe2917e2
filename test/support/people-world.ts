import pino from "pino";
import { systemClock } from "../../src/base/clock.ts";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { consolePages } from "../../src/serve/console-pages.ts";
import { createPeople } from "../../src/serve/people.ts";
import { startApi } from "../../src/transport/http/api.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { createApiClient, type ApiClient } from "./api-client.ts";
import { rawHttp } from "./raw-http.ts";
import { makeWorld, type World, type WorldOptions } from "./world.ts";

// The people's side of a gateway as it is wired, over a home whose clock a test moves: sessions, API, pages.

export interface Visitor extends ApiClient {
  readonly person: string;
  /** As a browser keeps it. */
  readonly cookie: { readonly name: string; readonly value: string };
  /** What a page says, without markup. */
  page(path: string): Promise<string>;
  /** Drafts, and hands in with the session's own word. */
  decide(ref: string, decision: string, more?: string): ReturnType<ApiClient["post"]>;
}

export interface PeopleWorld {
  readonly world: World;
  readonly origin: string;
  /** Signs in at the identity provider, now. */
  signIn(person: string): Promise<Visitor>;
  /** The token of ana's agent claude. */
  readonly agent: ApiClient;
  /** What the people's part serves: `GET /session`. */
  readonly served: readonly string[];
  close(): Promise<void>;
}

export async function openPeopleWorld(options: WorldOptions): Promise<PeopleWorld> {
  const world = await makeWorld(options);
  const { home, settings } = world;
  const clock = options.clock ?? systemClock;
  const people = await createPeople(home, { ...settings, oidc: null }, clock);
  const now = (): number => clock.now();
  const token = newToken("csa");
  const pages = await consolePages({
    ...{ home, settings, now, version: "0.0.0", oidc: true },
    ...{ sessions: people.sessions, passkeys: home.credentials },
  });
  const api = await startApi({
    ...{ home, clock, version: "0.0.0", ...pages },
    sessions: people.sessions,
    peopleRoutes: people.routes,
    inquiries: { inquire: home.desk.inquire, answer: home.gate.answer },
    settling: home,
    listener: { host: "localhost", port: 0 },
    tokens: createBearer([
      {
        ...{ kind: "token" as const, name: "claude", expiresAt: null },
        ...{ scopes: new Set(["requests:write" as const]), acts: { principal: "ana", agent: "claude" } },
        tokenSha256: tokenSha256(token),
      },
    ]),
    log: pino({ level: process.env["COUNTERSIGN_TEST_LOG"] ?? "silent" }),
  });
  home.credentials.serveAt(api.url);
  await home.startSteward();

  return {
    world,
    origin: api.url,
    served: people.routes.routes.map(({ method, path }) => `${method} ${path}`),
    agent: createApiClient(
      () => api.port,
      () => ({ authorization: `Bearer ${token}` }),
    ),
    async signIn(person) {
      const started = await people.sessions.start({
        ...{ person, method: "oidc", subject: `https://idp.test ${person}` },
        signedInAt: clock.now(),
      });
      const [header = ""] = started.cookie.split(";");
      const client = createApiClient(
        () => api.port,
        () => ({ cookie: header, origin: api.url, "x-csrf-token": started.session.csrf }),
      );
      const at = header.indexOf("=");
      return {
        ...client,
        person,
        cookie: { name: header.slice(0, at), value: header.slice(at + 1) },
        async page(path) {
          const answer = await rawHttp({
            ...{ port: api.port, method: "GET", path },
            headers: { host: `localhost:${api.port}`, cookie: header, accept: "text/html" },
          });
          return wordsOf(answer.text);
        },
        async decide(ref, decision, more = "") {
          const draft = await client.get(`/requests/${ref}/draft?decision=${decision}${more}`);
          if (draft.status !== 200) return draft;
          const { statement } = draft.json;
          return client.post(`/requests/${ref}/decisions`, { statement, proof: { kind: "session" } });
        },
      };
    },
    async close() {
      await api.close(0);
      await people.sessions.flush();
      await world.close();
    },
  };
}

/** The text of a page as somebody reads it; what stands in scripts is no text. */
const wordsOf = (html: string): string =>
  html
    .replace(/<script[^]*?<\/script>/g, "")
    .replace(/<[^>]+>/g, " ")
    .replaceAll("&#39;", "'")
    .replaceAll("&quot;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ([.,:;])/g, "$1");
