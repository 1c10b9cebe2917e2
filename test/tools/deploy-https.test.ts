import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ToolRefusal } from "../../src/tool.ts";
import { makeDeployWorld, type DeployWorld } from "../support/deploy-world.ts";
import { startGitHttps, type GitHttps } from "../support/git-https.ts";

let world: DeployWorld;
let server: GitHttps;
const password = "a-token-for-reading";
beforeEach(async () => {
  world = makeDeployWorld();
  server = await startGitHttps(world.dir, world.source.dir, password);
  world.entry = {
    ...world.entry,
    repository: `${server.url}/.git`,
    ca: server.ca,
    credential: { name: "git-read" },
  };
  world.source.commit({ "a.txt": "over https\n" });
});
afterEach(async () => {
  await server.close();
  world.remove();
});

const context = (value = password) =>
  world.context({ creds: (name) => Promise.resolve(name === "git-read" ? value : "") });
const preview = (value?: string) => world.tool().preview({ service: "web", ref: "main" }, context(value));
const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no refusal",
    (error: unknown) => (error instanceof ToolRefusal ? error.code : String(error)),
  );

test("a repository over https is deployed with the named credential, which stands in nothing that is kept", async () => {
  const made = await preview();
  const files = { preview: made, creds: () => Promise.resolve(password) };
  await world.tool().execute(made.plan, world.context(files));
  expect(world.served("a.txt")).toBe("over https\n");
  expect(server.seen.refused).toBe(0);
  expect(JSON.stringify([made.plan, made.view])).not.toContain(password);
  const basic = Buffer.from(`x-access-token:${password}`).toString("base64");
  // grep ends with 1 where it finds nothing.
  const found = spawnSync("grep", ["-rlE", `${password}|${basic}`, world.stateDir, world.root]);
  expect([found.status, found.stdout.toString()]).toEqual([1, ""]);
});

test("a wrong password is refused without a prompt", async () => {
  expect(await code(preview("wrong"))).toBe("source_unreachable");
});

test("a server whose certificate the registered authority did not sign is refused", async () => {
  delete world.entry["ca"];
  expect(await code(preview())).toBe("source_unreachable");
  expect(server.seen.allowed).toEqual([]);
});

test("a redirect is not followed, so the credential goes nowhere else", async () => {
  const other = await startGitHttps(world.dir, world.source.dir, password);
  try {
    server.redirectTo(other.url);
    expect(await code(preview())).toBe("source_unreachable");
    expect(other.seen).toEqual({ allowed: [], refused: 0 });
    server.redirectTo(`file://${world.source.dir}`);
    expect(await code(preview())).toBe("source_unreachable");
  } finally {
    await other.close();
  }
});
