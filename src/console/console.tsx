import { Hono, type Context } from "hono";
import { isUse, type ApiEnv } from "../transport/http/actor.ts";
import type { Child } from "hono/jsx";
import { statfs } from "node:fs/promises";
import { isFault } from "../errors.ts";
import { readCheckpointUnverified } from "../log/checkpoint.ts";
import type { RequestSummary } from "../request/summary.ts";
import { readDossier } from "./dossier.ts";
import { ErrorPage, type ErrorStatus } from "./error-page.tsx";
import { explainCall, explainFields } from "./explain-form.tsx";
import { ASSET_HEADERS, PAGE_HEADERS } from "./headers.ts";
import { HealthPage } from "./health-page.tsx";
import { countMine, createInboxReader, LISTS, type ListName } from "./inbox.ts";
import { inboxPage } from "./inbox-page.tsx";
import type { Frame } from "./layout.tsx";
import { EntryPage, LogPage, type LogState } from "./log-page.tsx";
import { PeoplePage } from "./people-page.tsx";
import { PolicyPage } from "./policy-page.tsx";
import { LOG_GROUPS, readEntry, readLog, type LogGroup } from "./read-log.ts";
import { readPolicy } from "./read-policy.ts";
import { viewerOf, type ConsoleParts, type Verification, type Viewer } from "./reader.ts";
import type { VerificationState } from "../transport/http/verification.ts";
import { RequestPage } from "./request-page.tsx";
import { EnrolPage, SignInPage } from "./sign-in-page.tsx";

// The pages of the people's listener. They show; what a person does goes through the API.
//
//   K1. Every page but sign-in, enrolment and errors needs a session; without one it sends to sign-in and shows nothing.
//   K2. Pages answer GET and change nothing.
//   K3. Text of agents and backends is neutralised where it enters a page (P3), and is never a link.

export type { ConsoleParts } from "./reader.ts";

/** The pages, to be mounted at `/` beside the API. */
export function createConsole(parts: ConsoleParts): Hono<ApiEnv> {
  const { home, now } = parts;
  const readInbox = createInboxReader(home);
  const pages = new Hono<ApiEnv>();

  const frameFor = (viewer: Viewer | null): Frame => ({
    viewer,
    assets: parts.assets,
    version: parts.version,
    isolation: home.settings.isolation,
    logId: home.store.logId,
    size: home.store.head().size,
    rpId: parts.rpId ?? null,
    mine: () => (viewer === null ? 0 : countMine(home, viewer.person)),
  });

  const answer = (c: Context, page: Child, status: ErrorStatus | 200 = 200): Response => {
    for (const [name, value] of Object.entries(PAGE_HEADERS)) c.header(name, value);
    return c.html(`<!doctype html>${String(page)}`, status) as Response;
  };

  const fail = (c: Context, status: ErrorStatus, detail: string | null = null): Response => {
    const session = parts.sessions.find(c.req.header("cookie"), false);
    const viewer = session === null ? null : viewerOf(parts, session);
    return answer(c, <ErrorPage frame={frameFor(viewer)} status={status} detail={detail} />, status);
  };

  /** A page for the person who signed in; nobody else gets past here (K1). */
  const signedIn =
    (make: (c: Context, viewer: Viewer, frame: Frame) => Promise<Child | Response>) =>
    async (c: Context): Promise<Response> => {
      const session = parts.sessions.find(
        c.req.header("cookie"),
        isUse((name) => c.req.header(name)),
      );
      if (session === null) {
        const { pathname, search } = new URL(c.req.url);
        const to = pathname === "/" && search === "" ? "" : `?next=${encodeURIComponent(pathname + search)}`;
        return c.redirect(`/sign-in${to}`, 303);
      }
      try {
        await home.store.catchUp();
        const viewer = viewerOf(parts, session);
        const made = await make(c, viewer, frameFor(viewer));
        return made instanceof Response ? made : answer(c, made);
      } catch (error) {
        return answerFault(c, error);
      }
    };

  const answerFault = (c: Context, error: unknown): Response => {
    if (isFault(error, "REQUEST_NOT_FOUND")) return fail(c, 404, error.message);
    if (isFault(error, "REQUEST_AMBIGUOUS")) return fail(c, 404, `${error.message}: ${error.hint ?? ""}`);
    home.log.error({ err: error, path: c.req.path }, "page failed");
    return fail(c, isFault(error, "STORE_CLOSED") || isFault(error, "STORE_FULL") ? 503 : 500);
  };

  const logState = async (): Promise<LogState> => {
    const { size, root } = home.store.head();
    const note = readCheckpointUnverified(await home.store.checkpoint());
    return {
      size,
      root,
      signed: note.ok ? note.value.size : null,
      verification: verificationOf(parts.verification?.()),
    };
  };

  pages.get("/assets/:name", (c) => {
    const asset = parts.assets.get(c.req.param("name"));
    if (asset === null) return fail(c, 404);
    return c.body(asset.bytes, 200, { ...ASSET_HEADERS, "content-type": asset.type });
  });

  pages.get(
    "/",
    signedIn(async (c, viewer, frame) => {
      const list = LISTS.find((name): name is ListName => name === c.req.query("list")) ?? null;
      const page = Math.max(1, Math.trunc(Number(c.req.query("page"))) || 1);
      return inboxPage({ frame, inbox: await readInbox(viewer.person), list, page, now: now() });
    }),
  );

  pages.get(
    "/requests/:ref",
    signedIn(async (c, viewer, frame) => {
      const summary: RequestSummary = await home.requests.find(c.req.param("ref") ?? "");
      if (summary.id !== c.req.param("ref")) return c.redirect(`/requests/${summary.id}`, 303);
      const dossier = await readDossier(home, summary);
      const nameOf = (person: string): string => home.adoption.current().people.get(person)?.name ?? person;
      return <RequestPage frame={frame} viewer={viewer} dossier={dossier} nameOf={nameOf} now={now()} />;
    }),
  );

  pages.get(
    "/log",
    signedIn(async (c, _viewer, frame) => {
      const before = Number(c.req.query("before"));
      const query = {
        before: Number.isSafeInteger(before) && before > 0 ? before : null,
        group: (Object.keys(LOG_GROUPS) as LogGroup[]).find((group) => group === c.req.query("kind")) ?? null,
        subject: filled(c.req.query("subject")),
        words: filled(c.req.query("q")),
      };
      const found = await readLog(home.store, query);
      return <LogPage frame={frame} query={query} found={found} state={await logState()} now={now()} />;
    }),
  );

  pages.get(
    "/log/:seq{[0-9]{1,15}}",
    signedIn(async (c, _viewer, frame) => {
      const seq = Number(c.req.param("seq"));
      const read = await readEntry(home.store, seq);
      if (read === null) return fail(c, 404);
      const { size } = home.store.head();
      const proof = {
        size,
        root: await home.store.rootAt(size),
        path: await home.store.inclusionProof(seq, size),
      };
      return <EntryPage frame={frame} entry={read.entry} text={read.text} proof={proof} />;
    }),
  );

  pages.get(
    "/policy",
    signedIn(async (c, viewer, frame) => {
      const fields = explainFields((name) => c.req.query(name));
      return (
        <PolicyPage
          frame={frame}
          viewer={viewer}
          reading={await readPolicy(home)}
          tools={home.tools.map(({ name }) => name)}
          fields={fields}
          explained={explainCall(home, fields)}
        />
      );
    }),
  );

  pages.get(
    "/people",
    signedIn(async (_c, viewer, frame) => (
      <PeoplePage
        frame={frame}
        viewer={viewer}
        policy={home.adoption.current()}
        credentials={parts.credentials?.() ?? null}
        sessions={parts.sessions.list?.(viewer.person) ?? null}
        now={now()}
      />
    )),
  );

  pages.get(
    "/health",
    signedIn(async (_c, _viewer, frame) => {
      const { dataDir, limits } = home.settings;
      return (
        <HealthPage
          frame={frame}
          state={await logState()}
          hasSteward={(await parts.hasSteward?.()) ?? null}
          freeBytes={await (parts.freeBytes?.() ?? freeBytesAt(dataDir))}
          minFreeBytes={limits.minFreeBytes}
          newestEntry={home.store.head().newestTime}
          now={now()}
          openRequests={home.desk.pending().length}
          tools={home.tools.map(({ name }) => name)}
        />
      );
    }),
  );

  pages.get("/sign-in", (c) => {
    const to = pathOf(c.req.query("next"));
    if (parts.sessions.find(c.req.header("cookie")) !== null) return c.redirect(to, 303);
    return answer(c, <SignInPage frame={frameFor(null)} to={to} oidc={parts.oidc === true} />);
  });

  pages.get("/enrol", (c) => {
    const code = /^[\w-]{1,128}$/.exec(c.req.query("code") ?? "")?.[0] ?? "";
    return answer(c, <EnrolPage frame={frameFor(null)} code={code} />);
  });

  pages.get("*", (c, next) => (c.req.path.startsWith("/api/") ? next() : Promise.resolve(fail(c, 404))));

  return pages;
}

/** A page for what the listener itself refuses: 401, 403 and 421 come before any page is asked. */
export function refusalPage(
  parts: Pick<ConsoleParts, "assets" | "version">,
  status: ErrorStatus,
  home: string,
): { readonly html: string; readonly headers: Readonly<Record<string, string>> } {
  const frame: Frame = {
    viewer: null,
    assets: parts.assets,
    version: parts.version,
    isolation: "service",
    logId: "",
    size: 0,
    rpId: null,
    mine: () => 0,
  };
  const page = <ErrorPage frame={frame} status={status} home={home} />;
  return {
    html: `<!doctype html>${String(page)}`,
    headers: { ...PAGE_HEADERS, "content-type": "text/html; charset=utf-8" },
  };
}

/** What a page says of the gateway's own verification of its log. */
function verificationOf(state: VerificationState | undefined): Verification | null {
  if (state === undefined) return null;
  const { last } = state;
  if (last === null) return { state: "never", size: 0, at: 0, findings: [] };
  return {
    state: last.state === "ok" ? "ok" : last.state === "failed" ? "failed" : "error",
    size: last.size,
    at: Date.parse(last.at),
    findings: [
      ...(last.error === null ? [] : [last.error]),
      ...last.findings
        .filter(({ severity }) => severity === "fault")
        .map(({ code, message }) => `${code}: ${message}`),
    ],
  };
}

const filled = (text: string | undefined): string | null => {
  const trimmed = (text ?? "").trim().slice(0, 200);
  return trimmed === "" ? null : trimmed;
};

/** A path of ours to go on to: nothing that a browser could read as another origin. */
const pathOf = (to: string | undefined): string =>
  to !== undefined && /^\/(?![/\\])[\x21-\x7e]*$/.test(to) ? to : "/";

async function freeBytesAt(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
