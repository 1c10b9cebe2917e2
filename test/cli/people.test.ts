import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import { cliRun } from "../support/cli-run.ts";
import { registered, enrol } from "../support/passkey-world.ts";
import { createSoftPasskey } from "../support/soft-passkey.ts";
import { makeWorld, type World } from "../support/world.ts";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

// People and passkeys on the command line, over a real home and with the real ssh-keygen.

let world: World;
let around: Surroundings;

async function open(head: string): Promise<void> {
  world = await makeWorld({ head });
  const userHome = join(world.root, "user");
  await mkdir(join(userHome, ".ssh"), { recursive: true });
  around = {
    env: { PATH: process.env["PATH"], HOME: userHome },
    cwd: world.root,
    platform: process.platform,
    userHome,
    account: "1@test",
  };
}
const keyOf = async (person: string): Promise<string> => {
  const file = join(world.root, `key-${person}`);
  await writeFile(file, world.keys[person]?.privateFile ?? "", { mode: 0o600 });
  await writeFile(`${file}.pub`, `${world.keys[person]?.publicLine ?? ""}\n`);
  return file;
};
const run = (...words: string[]) => runWith({}, ...words);
const runWith = (more: { readonly typed?: readonly string[] }, ...words: string[]) =>
  cliRun(["--home", world.settings.home, ...words], {
    // The command closes what it opened; the test goes on with it.
    home: { ...world.home, close: () => Promise.resolve() },
    around,
    parts: { clock: systemClock },
    ...more,
  });

beforeEach(() => open("policy_change: { by: [security, sre], quorum: 2, assurance: A2 }"));
afterEach(() => world.close());

describe("countersign people", () => {
  test("invites with two signatures where two are needed; the code enrols, and the list shows it", async () => {
    const first = await run("people", "invite", "chi", "--key", await keyOf("dee"), "--yes");
    expect([first.exitCode, first.stdout]).toEqual([0, expect.stringContaining("signed; 1 more of 2")]);
    expect((await run("people", "list")).stdout).toContain("invitation signed by 1, waits for more");
    const second = await run("people", "invite", "chi", "--key", await keyOf("ben"), "--yes", "--json");
    const answer = JSON.parse(second.stdout) as { code: string; url: string; state: string };
    expect(answer).toMatchObject({ state: "invited", person: "chi" });
    expect(answer.url).toMatch(/^http:\/\/localhost:\d+\/enrol#chi\./);
    const passkey = createSoftPasskey();
    await world.home.credentials.redeem(answer.code, registered(passkey), "phone");
    const list = await run("people", "list");
    expect(list.stdout).toContain(`passkey ${passkey.id}  phone  A3`);
    const json = JSON.parse((await run("people", "list", "--json")).stdout) as {
      people: { person: string }[];
    };
    expect(json.people.find(({ person }) => person === "chi")).toMatchObject({
      strongest: "A3",
      credentials: [{ id: passkey.id, label: "phone" }],
    });
  });

  test("removes by the first characters of an id, signed by one person of policy_change", async () => {
    const passkey = await enrol(world, world.home, "chi", ["dee", "ben"]);
    const unknown = await run("people", "remove-credential", "~~~", "--yes");
    expect([unknown.exitCode, unknown.stderr]).toEqual([1, expect.stringContaining("no passkey")]);
    const removed = await run(
      ...["people", "remove-credential", passkey.id.slice(0, 8), "--key", await keyOf("dee"), "--yes"],
      ...["--why", "phone lost"],
    );
    expect([removed.exitCode, removed.stdout]).toEqual([0, `removed ${passkey.id} of chi\n`]);
    expect(world.home.credentials.find(passkey.id)).toBeNull();
  });

  test("signs nothing when the person says no", async () => {
    const key = await keyOf("dee");
    const said = await runWith({ typed: ["n"] }, "people", "invite", "chi", "--key", key);
    expect([said.exitCode, said.stderr]).toEqual([1, expect.stringContaining("nothing was signed")]);
    expect(world.home.credentials.people().every(({ endorsements }) => endorsements === 0)).toBe(true);
  });

  test("needs no key where the policy adopts on save", async () => {
    await world.close();
    await open("adopt: on_save");
    const invited = await run("people", "invite", "chi");
    expect([invited.exitCode, invited.stdout]).toEqual([
      0,
      expect.stringMatching(/^code {3}chi\.[2-9A-Z]{4}(-[2-9A-Z]{4}){3}\n/),
    ]);
  });
});
