import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CredentialStatement } from "../../../src/consent/credential-statement.ts";
import { PEOPLE_ROUTE_DOCS } from "../../../src/transport/http/people-route-docs.ts";
import { expectDescribed } from "../../support/api-client.ts";
import { openPeopleWorld, type PeopleWorld, type Visitor } from "../../support/people-world.ts";
import { signWithKey } from "../../support/passkey-world.ts";
import { rawHttp } from "../../support/raw-http.ts";

// The routes of people are served by hand and described beside it: does the description say what is served? The client
// compares every answer with its schema, strictly.

let gate: PeopleWorld;
let ben: Visitor;
let dee: Visitor;
beforeAll(async () => {
  gate = await openPeopleWorld({});
  [ben, dee] = [await gate.signIn("ben"), await gate.signIn("dee")];
});
afterAll(() => gate.close());

describe("what is described of people, passkeys and sessions", () => {
  test("is every route that is served, and no other", () => {
    const described = PEOPLE_ROUTE_DOCS.map(({ method, path }) => `${method} ${path}`);
    expect(described.toSorted()).toEqual([...new Set(gate.served)].toSorted());
  });

  test("is what comes back", async () => {
    const changed = (await ben.get("/people")).json as { needs: unknown; people: unknown[] };
    expect(changed).toMatchObject({ needs: { quorum: 2, assurance: "A2" } });
    expect(changed.people).toHaveLength(5);
    for (const path of ["/session", "/sessions"]) expect((await ben.get(path)).status).toBe(200);
    const last = [];
    for (const who of [ben, dee]) {
      const { json } = await who.get("/people/chi/credential-draft?action=invite");
      const { statement, proof } = signWithKey(gate.world, json["statement"] as CredentialStatement);
      const { signature } = proof as { signature: string };
      const body = { statement, proof: { kind: "sshsig", signature } };
      last.push((await who.post("/people/chi/invitations", body)).json);
    }
    expect(last).toMatchObject([
      { state: "endorsed", have: 1, need: 2 },
      { state: "invited", person: "chi" },
    ]);
    const { code } = last[1] as unknown as { code: string };
    expect((await ben.post("/enrolment/options", { code })).json).toHaveProperty("challenge");
    expect((await ben.post("/enrolment/options", { code: "chi.2222-2222-2222-2222" })).code).toBe(
      "invitation_invalid",
    );
    expect((await ben.post("/session/passkey/options", {})).json).toHaveProperty("challenge");
    expect((await ben.post("/people/chi/invitations", {})).code).toBe("bad_request");
  });

  test("is what ending a session says, and then it is over", async () => {
    const eva = await gate.signIn("eva");
    const { json } = await eva.get("/session");
    const { csrf } = json["session"] as { csrf: string };
    const end = async (path: string) => {
      const { host, port } = new URL(gate.origin);
      const answer = await rawHttp({
        ...{ port: Number(port), method: "DELETE", path: `/api/v1${path}` },
        headers: {
          ...{ host, origin: gate.origin, "x-csrf-token": csrf },
          cookie: `${eva.cookie.name}=${eva.cookie.value}`,
        },
      });
      expectDescribed("DELETE", path, answer);
      return answer.json;
    };
    await gate.signIn("eva");
    expect(await end("/sessions/nothing")).toMatchObject({ code: "not_found" });
    expect(await end("/sessions/others")).toEqual({ ended: 1 });
    expect(await end("/session")).toEqual({ session: null });
    expect((await eva.get("/sessions")).status).toBe(401);
  });
});
