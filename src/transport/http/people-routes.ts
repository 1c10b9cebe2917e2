import { Hono } from "hono";
import { randomBytes } from "node:crypto";
import type { z } from "zod";
import { timestamp } from "../../base/clock.ts";
import type { NewCredential } from "../../consent/credential-desk.ts";
import type { Credential } from "../../consent/credentials.ts";
import { isFault } from "../../errors.ts";
import type { PersonId } from "../../request/principal.ts";
import type { Actor, Session } from "./actor.ts";
import { CHALLENGE_LIFE_MS, createChallenges } from "./challenges.ts";
import { challengeOf, registrationOptions, verifyRegistration } from "./passkeys.ts";
import { enrolmentBody, enrolmentOptionsBody, readSigned, signedBody } from "./people-bodies.ts";
import {
  answerPeopleFault,
  barrier,
  createPeopleContext,
  expiredChallenge,
  read,
  sessionOf,
  sourceOf,
  type PeopleEnv,
  type PeopleRequest,
  type PeopleRoutesParts,
} from "./people-context.ts";
import { credentialDocument, personDocument, signThis } from "./people-documents.ts";
import { answerProblem, problem } from "./problem.ts";
import { addSignInRoutes } from "./sign-in-routes.ts";

export type { PeopleEnv, PeopleRoutesParts } from "./people-context.ts";

// People, invitations and passkeys, under `/api/v1`. Who speaks, Origin and CSRF token were looked at before a request
// gets here; the actor stands on the context.

const MOST_PENDING = 500;

/** For whom a registration was begun. */
type Enrolling =
  { readonly by: "code"; readonly code: string } | { readonly by: "session"; readonly person: PersonId };

/** The routes of people; mounted under `/api/v1`. */
export function createPeopleRoutes(parts: PeopleRoutesParts): Hono<PeopleEnv> {
  const { credentials, clock } = parts;
  const routes = new Hono<PeopleEnv>();
  const context = createPeopleContext(parts);
  const { begin, guarded } = context;
  addSignInRoutes(routes, parts, context);
  const enrolments = createChallenges<Enrolling>(() => clock.monotonic());
  /** Registered, not vouched for yet. */
  const pending = new Map<
    string,
    {
      readonly person: PersonId;
      readonly credential: NewCredential;
      readonly label: string;
      readonly until: number;
    }
  >();

  routes.get("/people", (c) => {
    const barred = barrier(c, "people:read");
    if (barred !== null) return answerProblem(barred);
    return c.json({ needs: needs(), people: credentials.people().map(personDocument) });
  });
  const needs = () => {
    try {
      return credentials.needs();
    } catch (error) {
      // A policy that names nobody: the page says so instead of failing.
      if (isFault(error, "CREDENTIAL_REFUSED")) return { by: [], quorum: 0, assurance: "A4" };
      throw error;
    }
  };

  routes.get("/people/:id/credential-draft", async (c) => {
    const barred = barrier(c, "people:read");
    if (barred !== null) return answerProblem(barred);
    const { action, credential, approver } = c.req.query();
    const by = sessionOf(c)?.person ?? approver;
    const isKnown = action === "invite" || action === "remove";
    if (!isKnown || by === undefined || (action === "remove") !== (credential !== undefined)) {
      return answerProblem(
        problem("bad_request", "action is invite, or remove with credential; a token names the approver"),
      );
    }
    const person = c.req.param("id");
    const drafted = await credentials.draft({
      action,
      person,
      approver: by,
      ...(credential === undefined ? {} : { credential }),
    });
    return c.json(signThis(drafted));
  });

  routes.post("/people/:id/invitations", async (c) => {
    const barred = barrier(c, "statements:write");
    if (barred !== null) return answerProblem(barred);
    const body = await read(c, signedBody);
    if (!body.ok) return answerProblem(body.problem);
    const signed = readSigned(body.value, c.get("actor") as Actor);
    if (signed.statement.person !== c.req.param("id")) {
      return answerProblem(problem("bad_request", "the statement is about another person"));
    }
    const answer = await guarded([sourceOf(c), `person ${signed.statement.approver}`], () =>
      credentials.invite(signed),
    );
    if (answer.state === "endorsed") return c.json(answer);
    return c.json({
      state: "invited",
      person: answer.person,
      code: answer.code,
      // Behind `#`, so that it is in no request, no proxy's log and no Referer.
      url: `${parts.origin()}/enrol#${answer.code}`,
      expires_at: timestamp(answer.expiresAt),
      expiresAt: timestamp(answer.expiresAt),
    });
  });

  routes.post("/enrolment/options", async (c) => {
    const body = await read(c, enrolmentOptionsBody);
    if (!body.ok) return answerProblem(body.problem);
    const { code } = body.value;
    const session = sessionOf(c);
    if (code === undefined && session === null) return answerProblem(problem("unauthenticated"));
    const keys = [sourceOf(c)];
    const person =
      code === undefined
        ? (session as Session).person
        : await guarded(keys, () => credentials.checkCode(code));
    const enrolling: Enrolling = code === undefined ? { by: "session", person } : { by: "code", code };
    return c.json(
      await registrationOptions({
        rp: credentials.rp,
        log: parts.log,
        person: { id: person, name: parts.personName(person) },
        existing: credentials.ofPerson(person),
        challenge: enrolments.issue(enrolling),
      }),
    );
  });

  routes.post("/enrolment", async (c) => {
    const body = await read(c, enrolmentBody);
    if (!body.ok) return answerProblem(body.problem);
    const given = body.value;
    if ("pending" in given) return vouch(c, given);
    const { code, label, response } = given;
    const challenge = challengeOf(response.response.clientDataJSON) ?? "";
    const enrolling = enrolments.take(challenge);
    const session = sessionOf(c);
    // The challenge was made for this code, or this person: a page can't finish what another began.
    const fits =
      enrolling?.by === "code"
        ? enrolling.code === code
        : enrolling?.by === "session" && code === undefined && session?.person === enrolling.person;
    if (enrolling === null || !fits) throw expiredChallenge();
    const credential = await verifyRegistration({ rp: credentials.rp, response, challenge });
    if (enrolling.by === "code") {
      const enrolled = await guarded([sourceOf(c)], () =>
        credentials.redeem(enrolling.code, credential, label),
      );
      // Whoever holds the code and the passkey it made could sign in with it right away.
      const { person, id: subject } = enrolled;
      await begin(c, { person, method: "passkey", subject, signedInAt: clock.now() });
      return c.json(enrolledDocument(enrolled));
    }
    const { person } = enrolling;
    const statement = await credentials.draft({
      action: "add",
      person,
      approver: person,
      credential: credential.id,
      publicKey: credential.publicKey,
    });
    const now = clock.monotonic();
    for (const [key, { until }] of pending)
      if (until <= now || pending.size >= MOST_PENDING) pending.delete(key);
    const id = randomBytes(16).toString("base64url");
    pending.set(id, { person, credential, label, until: now + CHALLENGE_LIFE_MS });
    const counting = credentials.ofPerson(person).filter(({ countsFrom }) => countsFrom <= clock.now());
    return c.json({
      state: "sign",
      pending: id,
      ...signThis(statement),
      credentials: counting.map((one) => one.id),
    });
  });

  /** A registered passkey becomes the person's once one that counts has signed for it (E3). */
  const vouch = async (
    c: PeopleRequest,
    given: Extract<z.output<typeof enrolmentBody>, { pending: string }>,
  ): Promise<Response> => {
    const session = sessionOf(c);
    if (session === null) return answerProblem(problem("unauthenticated"));
    const waiting = pending.get(given.pending);
    if (waiting === undefined || waiting.until <= clock.monotonic() || waiting.person !== session.person) {
      throw expiredChallenge();
    }
    const signed = readSigned(
      { statement: given.statement, proof: given.proof },
      { kind: "session", session },
    );
    const keys = [sourceOf(c), `person ${session.person}`];
    const enrolled = await guarded(keys, () => credentials.add(waiting.credential, waiting.label, signed));
    pending.delete(given.pending);
    return c.json(enrolledDocument(enrolled));
  };
  const enrolledDocument = (credential: Credential) => ({
    state: "enrolled",
    credential: credentialDocument(credential, clock.now()),
  });

  routes.post("/credentials/:id/removal", async (c) => {
    const barred = barrier(c, "statements:write");
    if (barred !== null) return answerProblem(barred);
    const body = await read(c, signedBody);
    if (!body.ok) return answerProblem(body.problem);
    const signed = readSigned(body.value, c.get("actor") as Actor);
    if (signed.statement.credential !== c.req.param("id")) {
      return answerProblem(problem("bad_request", "the statement is about another passkey"));
    }
    const keys = [sourceOf(c), `person ${signed.statement.approver}`];
    await guarded(keys, () => credentials.remove(signed, body.value.why ?? "removed"));
    return c.json({ state: "removed", credential: signed.statement.credential });
  });

  routes.onError(answerPeopleFault);
  return routes;
}
