import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { registrationDigest, serviceRegistration } from "../../tools/deploy_service/registration.ts";

const good = { repository: "/srv/git/web", environment: "demo", releases: "/srv/web" };
const messages = (entry: object): string[] => {
  const parsed = serviceRegistration.safeParse({ ...good, ...entry });
  return parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
};

test("the smallest registration gets defaults, and is plain JSON", () => {
  const entry = serviceRegistration.parse(good);
  expect(entry).toEqual({ ...good, description: "", keep: 5, refs: ["*"] });
  expect(JSON.parse(canonicalJson(entry))).toEqual(entry);
});

test("a whole one", () => {
  const entry = serviceRegistration.parse({
    ...good,
    repository: "https://git.example.com/acme/web.git",
    credential: { name: "git-read" },
    ca: "/etc/ca.pem",
    keep: 2,
    refs: ["main", "release/**", "tags/v*"],
    directory: "services/web",
    description: "the shop",
    check: { run: ["/usr/bin/node", "--check", "server.js"] },
    health: {
      run: ["/usr/bin/curl", "-fsS", "http://127.0.0.1:8080/health"],
      timeout: "1m30s",
      env: ["PORT"],
    },
  });
  expect(entry.health).toEqual({
    run: ["/usr/bin/curl", "-fsS", "http://127.0.0.1:8080/health"],
    timeout: 90_000,
    env: ["PORT"],
  });
  expect(entry.credential?.user).toBe("x-access-token");
});

describe("a wrong one says what is expected, and where", () => {
  test.each([
    [{ repository: "web" }, "repository: an absolute path, or a URL with file, ssh or https is expected"],
    [
      { repository: "git@example.com:acme/web" },
      "repository: an absolute path, or a URL with file, ssh or https is expected",
    ],
    [
      { repository: "http://example.com/web" },
      "repository: an absolute path, or a URL with file, ssh or https is expected",
    ],
    [{ repository: "ext::sh -c id" }, "repository: a URL without blanks is expected"],
    [{ repository: "ext::sh" }, "repository: an absolute path, or a URL with file, ssh or https is expected"],
    [
      { repository: "https://ana:pw@example.com/web" },
      "repository: a URL without a password is expected; name a credential instead",
    ],
    [
      { repository: "ssh://-oProxyCommand=x/web", ssh: { identity: "/k", known_hosts: "/h" } },
      "repository: ssh://user@host/path is expected",
    ],
    [{ repository: "file://host/web" }, "repository: file:///absolute/path is expected"],
    [{ repository: "/srv/../etc" }, "repository: a path without .., . or doubled slashes is expected"],
    [
      { repository: "ssh://git@example.com/web" },
      "ssh: identity and known_hosts are expected for an ssh repository",
    ],
    [{ credential: { name: "x" } }, "credential: only an https repository takes it"],
    [{ releases: "srv" }, "releases: an absolute path is expected"],
    [{ releases: "/" }, "releases: a directory of the service's own is expected"],
    [{ releases: "/srv/web/" }, "releases: a path without a slash at its end is expected"],
    [{ environment: "Prod" }, "environment: a name in lower case is expected, such as prod"],
    [{ keep: 1 }, "keep: at least 2: the current release and the one before"],
    [{ refs: [] }, "refs: at least one pattern is expected"],
    [{ refs: ["a b"] }, "refs.0: a branch or tag name is expected, in which * may stand for a part of it"],
    [{ directory: "../x" }, "directory: a relative path such as services/web is expected"],
    [{ directory: "/x" }, "directory: a relative path such as services/web is expected"],
    [{ directory: "a/../b" }, "directory: a relative path such as services/web is expected"],
    [{ health: { run: [] } }, "health.run: at least the program is expected"],
    [
      { health: { run: ["curl"] } },
      "health.run: the program is expected as an absolute path: PATH is not searched",
    ],
    [
      { health: { run: ["/bin/true"], timeout: "soon" } },
      "health.timeout: a duration of at most 1h is expected, such as 30s or 2m",
    ],
    [
      { health: { run: ["/bin/true"], timeout: "2h" } },
      "health.timeout: a duration of at most 1h is expected, such as 30s or 2m",
    ],
    [{ health: { run: ["/bin/true"], env: ["A=b"] } }, "health.env.0: the name of a variable is expected"],
  ])("%j", (entry, message) => {
    expect(messages(entry)).toContain(message);
  });
  test("an unknown key is refused, also inside a command", () => {
    expect(messages({ helth: {} })[0]).toContain("helth");
    expect(messages({ health: { run: ["/bin/true"], shell: true } })[0]).toContain("shell");
  });
});

test("any difference of a registration is another digest", () => {
  const digests = [
    {},
    { keep: 3 },
    { refs: ["main"] },
    { environment: "prod" },
    { health: { run: ["/bin/true"] } },
    { health: { run: ["/bin/true"], timeout: "1s" } },
  ].map((entry) => registrationDigest(serviceRegistration.parse({ ...good, ...entry })));
  expect(new Set(digests).size).toBe(digests.length);
});
