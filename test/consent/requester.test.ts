import { describe, expect, test } from "vitest";
import { requesterStands, resolveRequester } from "../../src/consent/requester.ts";
import { isInvolved } from "../../src/consent/people.ts";
import { diffPolicies } from "../../src/policy/diff.ts";
import type { Acting, Caller, PrincipalClaim } from "../../src/request/principal.ts";
import { isSameRequester, unresolvedSides } from "../../src/request/principal.ts";
import { load, loadErrors } from "../support/policy.ts";

// C1 for callers with an access token: who is the principal, which agent acts, and whom does the chain bar?

const A = "https://idp.example.com";
const B = "https://other.example.com";
const POLICY = `version: 1
people:
  ana: { name: Ana, oidc: { issuer: "${A}", subject: ana-1 } }
  ben: { name: Ben, oidc: { issuer: "${A}", subject: ben-1 } }
  chi: { name: Chi, oidc: { issuer: "${B}", subject: ana-1 } }
  dee: { name: Dee, disabled: true, oidc: { issuer: "${A}", subject: dee-1 } }
  eva: { name: Eva }
agents:
  desktop: { owners: [ana], oidc: { issuer: "${A}", client_id: desktop-app } }
  worker: { owners: [ana], oidc: { issuer: "${A}", subject: worker-1 } }
  planner: { owners: [eva], oidc: { issuer: "${A}", subject: planner-1 } }
services:
  ci: { oidc: { issuer: "${A}", subject: ci-1 } }
`;
const policy = load(POLICY);

const subject = (id: string, issuer = A, isClient = false): PrincipalClaim => ({
  kind: "oidc",
  issuer,
  subject: id,
  isClient,
});
const caller = (principal: PrincipalClaim, acting: Partial<Acting> = {}): Caller => ({
  principal,
  agent: null,
  acting: { issuer: A, client: "desktop-app", actors: [], ...acting },
  transport: "http",
  client: null,
});
const resolve = (of: Caller, by = policy) => {
  const resolved = resolveRequester(by, of);
  return resolved.ok ? resolved.value : resolved.error.requester;
};
const gap = (of: Caller) => {
  const resolved = resolveRequester(policy, of);
  if (resolved.ok) throw new Error("resolved");
  return resolved.error;
};

describe("the principal of an access token", () => {
  test("is the person or service with that issuer and subject (C1)", () => {
    expect(resolve(caller(subject("ana-1")))).toEqual({
      principal: { kind: "person", id: "ana" },
      agent: "desktop",
      owners: ["ana"],
      chain: [],
    });
    expect(resolve(caller(subject("ci-1"))).principal).toEqual({ kind: "service", id: "ci" });
  });

  test("is somebody else at another issuer, whatever the subject (C1)", () => {
    expect(resolve(caller(subject("ana-1", B), { issuer: B })).principal).toEqual({
      kind: "person",
      id: "chi",
    });
    expect(gap(caller(subject("ben-1", B))).requester).toMatchObject({
      principal: { kind: "unresolved", id: `${B} ben-1` },
      unresolved: ["principal"],
    });
  });

  test("is nobody where the person is disabled, and the message has the lines to add", () => {
    const { lines, message } = gap(caller(subject("dee-1")));
    expect(message).toBe(`nobody in the policy is "dee-1" at ${A}`);
    expect(lines).toContain(`people: { <person>: { oidc: { issuer: "${A}", subject: "dee-1" } } }`);
  });

  test("of a client's own token is never a person whose subject the client has taken as its name (RFC 9068 §5)", () => {
    expect(gap(caller(subject("ana-1", A, true))).requester.principal.kind).toBe("unresolved");
    expect(resolve(caller(subject("ci-1", A, true))).principal).toEqual({ kind: "service", id: "ci" });
  });

  test("that nobody knows is kept apart from every other, however long and alike they are (R1)", () => {
    const long = (end: string) => resolve(caller(subject("x".repeat(300) + end)));
    expect(long("1").principal.id.length).toBeLessThanOrEqual(128);
    expect(isSameRequester(long("1"), long("1"))).toBe(true);
    expect(isSameRequester(long("1"), long("2"))).toBe(false);
  });

  test("with markup or line ends in its name puts none of it into the lines to add (P3)", () => {
    const { lines, message } = gap(caller(subject('x" } }\nrules: []')));
    expect(lines + message).not.toContain("rules:");
  });
});

describe("the agent of an access token", () => {
  test("is the client's where nobody else acts, by client_id only (C1)", () => {
    expect(resolve(caller(subject("ana-1"))).agent).toBe("desktop");
    // A client that took an actor's subject as its name is not that actor.
    expect(unresolvedSides(resolve(caller(subject("ana-1"), { client: "worker-1" })))).toEqual(["agent"]);
    expect(unresolvedSides(resolve(caller(subject("ana-1"), { client: "desktop" })))).toEqual(["agent"]);
  });

  test("is whom `act` names where somebody acts, never the client instead", () => {
    expect(resolve(caller(subject("ben-1"), { actors: ["worker-1"] })).agent).toBe("worker");
    const { message, lines } = gap(caller(subject("ben-1"), { actors: ["desktop-app"] }));
    expect(message).toBe(`the actor "desktop-app" at ${A} is no agent of the policy`);
    expect(lines).toContain(`oidc: { issuer: "${A}", subject: "desktop-app" }`);
  });

  test("is nobody's at another issuer, and where the token names none", () => {
    expect(unresolvedSides(resolve(caller(subject("ana-1"), { issuer: B })))).toEqual(["agent"]);
    expect(gap(caller(subject("ana-1"), { client: null })).lines).toContain("client_id");
  });
});

describe("the chain of an access token", () => {
  test("bars everybody in it, and the owners of every agent in it (C1)", () => {
    const requester = resolve(caller(subject("ben-1"), { actors: ["worker-1", "planner-1"], client: null }));
    expect(requester).toMatchObject({ agent: "worker", owners: ["ana"], chain: ["agent:planner", "eva"] });
    for (const person of ["ben", "ana", "eva"]) expect(isInvolved(requester, person)).toBe(true);
    expect(isInvolved(requester, "chi")).toBe(false);
    expect(resolve(caller(subject("ana-1"), { actors: ["worker-1", "ben-1", "ci-1"] })).chain).toEqual([
      "ben",
      "service:ci",
      "agent:desktop",
      "ana",
    ]);
  });

  test("with a link that nobody knows leaves the requester unresolved: it could be anybody (C1)", () => {
    const { requester, message } = gap(caller(subject("ana-1"), { actors: ["worker-1", "stranger"] }));
    expect(requester.unresolved).toEqual(["agent"]);
    expect(message).toContain('acts through "stranger"');
  });

  test("no longer stands once an agent in it has another owner, or is gone (C1, before the claim)", () => {
    const requester = resolve(caller(subject("ben-1"), { actors: ["worker-1", "planner-1"] }));
    expect(requesterStands(policy, requester)).toBe(true);
    const with_ = (from: string, to: string) => load(POLICY.replace(from, to));
    expect(requesterStands(with_("owners: [eva]", "owners: [eva, chi]"), requester)).toBe(false);
    expect(requesterStands(with_("planner:", "planner2:"), requester)).toBe(false);
  });

  test("a requester that nobody knew no longer stands once an account makes it somebody", () => {
    const stranger = resolve(caller(subject("new-1")));
    const agent = resolve(caller(subject("ana-1"), { client: "new-app" }));
    expect([requesterStands(policy, stranger), requesterStands(policy, agent)]).toEqual([true, true]);
    const later = load(
      POLICY.replace(
        "eva: { name: Eva }",
        `eva: { name: Eva, oidc: { issuer: "${A}", subject: new-1 } }`,
      ).replace("client_id: desktop-app", "client_id: new-app"),
    );
    expect([requesterStands(later, stranger), requesterStands(later, agent)]).toEqual([false, false]);
  });
});

describe("accounts in policy.yaml", () => {
  test("can't be shared: whoever has one would be two", () => {
    const again = POLICY.replace("subject: ci-1", "subject: ana-1");
    expect(loadErrors(again).join()).toContain("services.ci.oidc: ana has it too; services can't share it");
    const agents = POLICY.replace("subject: planner-1", "subject: worker-1");
    expect(loadErrors(agents).join()).toContain("agents.planner.oidc: worker has it too");
  });

  test("that are added to an agent or a service are said in the diff, as something weaker", () => {
    const before = load(POLICY.replace(`, oidc: { issuer: "${A}", client_id: desktop-app }`, ""));
    expect(diffPolicies(before, policy)).toEqual([
      { text: `agent desktop oidc: none -> ${A} desktop-app (client)`, weaker: true },
    ]);
  });

  test("that nobody has leave the revision what it was", () => {
    const plain =
      "version: 1\npeople: { ana: { name: Ana } }\nagents: { a: { owners: [ana] } }\nservices: { s: {} }\n";
    expect(JSON.stringify(load(plain).document)).not.toContain("issuer");
    expect((load(plain).document as { agents: object }).agents).toEqual({
      a: { owners: ["ana"], description: null },
    });
  });
});
