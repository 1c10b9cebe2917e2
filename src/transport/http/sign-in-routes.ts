import type { Hono } from "hono";
import { timestamp } from "../../base/clock.ts";
import type { Session } from "./actor.ts";
import { createChallenges } from "./challenges.ts";
import { landingPage, localPath } from "./landing-page.ts";
import { challengeOf, signInOptions, verifySignIn } from "./passkeys.ts";
import { signInBody } from "./people-bodies.ts";
import {
  expiredChallenge,
  read,
  sessionOf,
  sourceOf,
  type PeopleContext,
  type PeopleEnv,
  type PeopleRoutesParts,
} from "./people-context.ts";
import { sessionDocument } from "./people-documents.ts";
import { answerProblem, faultProblem, problem } from "./problem.ts";

// Sign-in by passkey or identity provider, and sessions.

export function addSignInRoutes(
  routes: Hono<PeopleEnv>,
  parts: PeopleRoutesParts,
  context: PeopleContext,
): void {
  const { credentials, sessions, clock } = parts;
  const { begin, guarded, succeeded } = context;
  const signIns = createChallenges<"sign-in">(() => clock.monotonic());
  /** Signature counters of answers that no entry holds. */
  const counters = new Map<string, number>();
  const about = (session: Session | null) => ({
    session: session === null ? null : sessionDocument(session, parts, credentials),
    sign_in: { passkey: true, oidc: parts.oidc !== null },
    rp_id: credentials.rp.id,
  });

  routes.get("/session", (c) => c.json(about(sessionOf(c))));

  routes.post("/session/passkey/options", (c) =>
    c.json(signInOptions(credentials.rp, signIns.issue("sign-in"))),
  );

  routes.post("/session/passkey", async (c) => {
    const body = await read(c, signInBody);
    if (!body.ok) return answerProblem(body.problem);
    const keys = [sourceOf(c), `credential ${body.value.id.slice(0, 100)}`];
    const credential = await guarded(keys, () => {
      const challenge = challengeOf(body.value.response.clientDataJSON) ?? "";
      if (signIns.take(challenge) === null) throw expiredChallenge();
      return verifySignIn({
        credentials,
        log: parts.log,
        given: body.value,
        challenge: Buffer.from(challenge, "base64url"),
        counters,
      });
    });
    succeeded(keys);
    const { person, id: subject } = credential;
    const now = clock.now();
    const session = await begin(c, { person, method: "passkey", subject, signedInAt: now });
    return c.json(about(session));
  });

  routes.delete("/session", async (c) => {
    const session = sessionOf(c);
    if (session !== null) await sessions.end(session.person, session.id);
    c.header("set-cookie", sessions.clearCookie);
    return c.json({ session: null });
  });

  routes.get("/sessions", (c) => {
    const session = sessionOf(c);
    if (session === null) return answerProblem(problem("unauthenticated"));
    return c.json({
      sessions: sessions.list(session.person).map(({ id, method, subject, signedInAt, expiresAt }) => ({
        id,
        method,
        subject,
        signed_in_at: timestamp(signedInAt),
        expires_at: timestamp(expiresAt),
        current: id === session.id,
      })),
    });
  });

  routes.delete("/sessions/:id", async (c) => {
    const session = sessionOf(c);
    if (session === null) return answerProblem(problem("unauthenticated"));
    const id = c.req.param("id");
    if (id === "others") return c.json({ ended: await sessions.endOthers(session.person, session.id) });
    const ended = await sessions.end(session.person, id);
    return ended
      ? c.json({ ended: 1 })
      : answerProblem(problem("not_found", "you have no session of that id"));
  });

  routes.get("/auth/oidc", async (c) => {
    if (parts.oidc === null) return answerProblem(problem("not_found", "no identity provider is configured"));
    try {
      const { url, cookie } = await parts.oidc.start(localPath(c.req.query("to")));
      c.header("set-cookie", cookie);
      return c.redirect(url, 302);
    } catch (error) {
      return landingPage({ error: faultProblem(error) ?? problem("internal") });
    }
  });

  routes.get("/auth/oidc/callback", async (c) => {
    const { oidc } = parts;
    if (oidc === null) return answerProblem(problem("not_found", "no identity provider is configured"));
    c.header("set-cookie", oidc.clearCookie);
    try {
      const query = new URL(c.req.url).search;
      const finished = await guarded([sourceOf(c)], () => oidc.finish(query, c.req.header("cookie")));
      const { person, subject, signedInAt, to } = finished;
      await begin(c, { person, method: "oidc", subject, signedInAt });
      return landingPage({ to }, c.res.headers);
    } catch (error) {
      const known = faultProblem(error);
      if (known === null) throw error;
      return landingPage({ error: known }, c.res.headers);
    }
  });
}
