import * as z from "zod";
import { assurance, person, proofBody, time, toSign } from "./documents.ts";
import { enrolmentBody, enrolmentOptionsBody, signInBody } from "./people-bodies.ts";
import type { RouteDoc } from "./route.ts";

// What people-routes.ts and sign-in-routes.ts serve, for the OpenAPI document. A test asks each route of a running
// gateway and compares the answer with what stands here.

const credentialStatement = z
  .strictObject({
    typ: z.literal("countersign.credential"),
    v: z.literal(1),
    log: z.string(),
    action: z.enum(["invite", "add", "remove"]),
    person,
    credential: z.string().nullable().describe("Credential id; null for an invitation."),
    public_key: z.string().nullable().describe("SubjectPublicKeyInfo of what is added, base64."),
    nonce: z.string(),
    approver: person,
    issued_at: time,
  })
  .meta({ id: "CredentialStatement", description: "What a person signs about people's passkeys." });

const signed = z.strictObject({
  statement: credentialStatement,
  proof: proofBody,
  why: z.string().max(200).optional().describe("For the record, such as: lost."),
});
const signable = { statement: credentialStatement, sign: toSign };

const passkey = z.strictObject({
  id: z.string().describe("Credential id, base64url."),
  label: z.string(),
  enrolled_at: time,
  counts_from: time.describe("Until then it shows A2 only."),
  backup_eligible: z.boolean().describe("Whether its maker may copy it to other devices."),
});
const credential = passkey
  .extend({ person, aaguid: z.string().describe("Model of the authenticator."), shows: assurance })
  .meta({ id: "Credential" });

const session = z
  .strictObject({
    id: z.string(),
    person,
    name: z.string(),
    method: z.enum(["passkey", "oidc"]),
    signed_in_at: time,
    expires_at: time,
    csrf: z.string().describe("Sent as X-CSRF-Token with everything but GET."),
    notices: z
      .array(credential.extend({ kind: z.literal("passkey_enrolled") }))
      .describe("Passkeys of this person that came lately."),
  })
  .meta({ id: "Session" });
const about = z.strictObject({
  session: session.nullable(),
  sign_in: z.strictObject({ passkey: z.boolean(), oidc: z.boolean() }),
  rp_id: z.string(),
});
const enrolled = z.strictObject({ state: z.literal("enrolled"), credential });
const ended = z.strictObject({ ended: z.number() });
const options = (what: string) =>
  z.looseObject({ challenge: z.string() }).describe(`Options for ${what}, as WebAuthn's JSON has them.`);
const BEGINS = "Answers begin a session: the cookie comes with them.";

/** Every route of people, passkeys and sessions. */
export const PEOPLE_ROUTE_DOCS: readonly RouteDoc[] = [
  {
    ...{ method: "GET", path: "/session", id: "getSession", tag: "people", scope: null },
    summary: "Who is signed in, and how one may sign in.",
    answers: { 200: { description: "`session` is null where nobody is.", schema: about } },
    problems: [],
  },
  {
    ...{ method: "DELETE", path: "/session", id: "signOut", tag: "people" },
    ...{ scope: "requests:read", who: "person" },
    summary: "Signs out.",
    answers: { 200: { description: "The session is over.", schema: z.strictObject({ session: z.null() }) } },
    problems: [],
  },
  {
    ...{ method: "GET", path: "/sessions", id: "listSessions", tag: "people" },
    ...{ scope: "requests:read", who: "person" },
    summary: "Where this person is signed in.",
    answers: {
      200: {
        description: "Newest first.",
        schema: z.strictObject({
          sessions: z.array(
            z.strictObject({
              ...{ id: z.string(), method: z.enum(["passkey", "oidc"]), subject: z.string() },
              ...{ signed_in_at: time, expires_at: time, current: z.boolean() },
            }),
          ),
        }),
      },
    },
    problems: [],
  },
  {
    ...{ method: "DELETE", path: "/sessions/:id", id: "endSession", tag: "people" },
    ...{ scope: "requests:read", who: "person" },
    summary: "Ends a session of this person's; `others` ends all but the one that asks.",
    answers: { 200: { description: "How many ended.", schema: ended } },
    problems: ["not_found"],
  },
  {
    ...{ method: "POST", path: "/session/passkey/options", id: "startPasskeySignIn", tag: "people" },
    scope: null,
    summary: "Begins to sign in with a passkey.",
    answers: { 200: { description: "Used once.", schema: options("an assertion") } },
    problems: ["too_many_tries"],
  },
  {
    ...{ method: "POST", path: "/session/passkey", id: "signInWithPasskey", tag: "people", scope: null },
    summary: "Signs in with the passkey's answer.",
    description: BEGINS,
    body: signInBody,
    answers: { 200: { description: "Signed in.", schema: about } },
    problems: ["bad_request", "sign_in_refused", "too_many_tries"],
  },
  {
    ...{ method: "GET", path: "/auth/oidc", id: "startOidcSignIn", tag: "people", scope: null },
    summary: "Leads a browser to the identity provider.",
    query: z.strictObject({ to: z.string().optional().describe("Path of ours to go on to.") }),
    answers: { 302: { description: "To the provider." } },
    problems: ["not_found", "too_many_tries"],
  },
  {
    ...{ method: "GET", path: "/auth/oidc/callback", id: "finishOidcSignIn", tag: "people", scope: null },
    summary: "Where the identity provider leads the browser back to.",
    description: BEGINS,
    answers: {
      200: { description: "A page that leads on, or says why not.", schema: z.string(), media: "text/html" },
    },
    problems: ["not_found"],
  },
  {
    ...{ method: "GET", path: "/people", id: "listPeople", tag: "people", scope: "people:read" },
    summary: "People of the running policy, with what they can prove.",
    answers: {
      200: {
        description: "With what a change of anybody's passkeys needs; `needs` is null where files decide.",
        schema: z.strictObject({
          needs: z
            .strictObject({ by: z.array(z.string()), quorum: z.number(), assurance: z.string() })
            .nullable(),
          people: z.array(
            z.strictObject({
              ...{ person, name: z.string(), disabled: z.boolean() },
              strongest: assurance.nullable().describe("Strongest proof that they can give now."),
              ssh_keys: z.number(),
              oidc: z.boolean(),
              invited_until: time.nullable(),
              endorsements: z.number().describe("Signatures under an invitation that needs more."),
              credentials: z.array(passkey),
            }),
          ),
        }),
      },
    },
    problems: [],
  },
  {
    ...{ method: "GET", path: "/people/:id/credential-draft", id: "draftCredentialChange", tag: "people" },
    scope: "people:read",
    summary: "The statement that invites a person, or removes a passkey.",
    query: z.strictObject({
      action: z.enum(["invite", "remove"]),
      credential: z.string().optional().describe("With `remove`: which."),
      approver: person.optional().describe("Who signs: a token has to say it, a session is the person."),
    }),
    answers: { 200: { description: "The draft.", schema: z.strictObject(signable) } },
    problems: [],
  },
  {
    ...{ method: "POST", path: "/people/:id/invitations", id: "invite", tag: "people" },
    scope: "statements:write",
    summary: "Hands in a signed invitation; the last one that is needed gives the one-time code.",
    body: signed,
    proof: true,
    answers: {
      200: {
        description: "The code is shown once. The log holds its digest.",
        schema: z.discriminatedUnion("state", [
          z.strictObject({ state: z.literal("endorsed"), have: z.number(), need: z.number() }),
          z.strictObject({
            ...{ state: z.literal("invited"), person, code: z.string(), url: z.string() },
            ...{ expires_at: time, expiresAt: time },
          }),
        ]),
      },
    },
    problems: ["credential_refused", "signature_invalid", "too_many_tries"],
  },
  {
    ...{ method: "POST", path: "/enrolment/options", id: "startEnrolment", tag: "people", scope: null },
    summary: "Begins to enrol a passkey: with a one-time code, or signed in.",
    body: enrolmentOptionsBody,
    answers: { 200: { description: "Used once.", schema: options("a registration") } },
    problems: ["bad_request", "unauthenticated", "invitation_invalid", "too_many_tries"],
  },
  {
    ...{ method: "POST", path: "/enrolment", id: "enrol", tag: "people", scope: null },
    summary: "Hands in what the authenticator made.",
    description: `With a code that enrols it, and begins a session. Signed in, it comes back to be signed for with a passkey that counts, and is handed in once more as \`pending\`.`,
    body: enrolmentBody,
    answers: {
      200: {
        description: "Enrolled, or to be signed for.",
        schema: z.discriminatedUnion("state", [
          enrolled,
          z.strictObject({
            ...{ state: z.literal("sign"), pending: z.string(), ...signable },
            credentials: z.array(z.string()).describe("Passkeys of the person that may vouch for it."),
          }),
        ]),
      },
    },
    problems: [
      ...["bad_request", "unauthenticated", "invitation_invalid", "credential_refused"],
      ...["sign_in_refused", "signature_invalid", "too_many_tries"],
    ],
  },
  {
    ...{ method: "POST", path: "/credentials/:id/removal", id: "removeCredential", tag: "people" },
    scope: "statements:write",
    summary: "Hands in a signed removal: the passkey counts for nothing any more.",
    body: signed,
    proof: true,
    answers: {
      200: {
        description: "Removed; sessions that it opened are over.",
        schema: z.strictObject({ state: z.literal("removed"), credential: z.string() }),
      },
    },
    problems: ["credential_refused", "signature_invalid", "too_many_tries"],
  },
];
