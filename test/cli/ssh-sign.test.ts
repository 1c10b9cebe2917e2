import { execFileSync, spawn } from "node:child_process";
import { chmodSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestJson } from "../../src/base/digest.ts";
import {
  chooseKey,
  listLocalKeys,
  localKeyAt,
  type LocalKey,
  type SshSurroundings,
} from "../../src/consent/channels/cli/ssh-key.ts";
import { signWithSsh, type SignRequest } from "../../src/consent/channels/cli/ssh-sign.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import type { CountersignError } from "../../src/errors.ts";
import type { Person } from "../../src/policy/policy.ts";
import { createKeyDir, missingSshKeygen, opensshVerifies, type KeyDir } from "../support/ssh-keys.ts";

// Does exactly what was shown get signed, by exactly the key that was meant, and never without a person where C6 asks
// for one?

const missing = missingSshKeygen();
const statement: Statement = {
  typ: "countersign.decision",
  v: 1,
  decision: "approve",
  question: digestJson("question", { a: 1 }),
  summary: "deploy web",
  approver: "ana",
  solo: false,
  reason: null,
  takes_back: null,
  log: null,
  issued_at: "2026-11-21T10:00:00.000Z",
};
const bytes = statementBytes(statement);

describe.skipIf(missing !== null)(`signing with the real ssh-keygen ${missing ?? ""}`, () => {
  let keys: KeyDir;
  beforeAll(() => {
    keys = createKeyDir();
    keys.make("id_ed25519");
    keys.make("id_ecdsa", "ecdsa");
    keys.make("id_rsa", "rsa");
    keys.make("id_locked", "ed25519", "correct horse");
  });
  afterAll(() => keys.remove());

  const sign = async (
    key: LocalKey,
    more: Partial<SignRequest> = {},
    ssh: SshSurroundings = keys.ssh,
  ): Promise<string> =>
    signWithSsh(
      {
        bytes,
        namespace: SSHSIG_NAMESPACE,
        key,
        solo: false,
        userVerified: false,
        interactive: false,
        ...more,
      },
      ssh,
    );
  const at = (name: string): Promise<LocalKey> => localKeyAt(join(keys.dir, name), keys.ssh);

  test.each(["id_ed25519", "id_ecdsa", "id_rsa"])(
    "a signature by %s verifies with ssh-keygen -Y verify",
    async (name) => {
      const signature = await sign(await at(name));
      expect(opensshVerifies(keys, name, SSHSIG_NAMESPACE, bytes, signature)).toBe(true);
      expect(opensshVerifies(keys, name, "adoption@countersign.dev", bytes, signature)).toBe(false);
      const flipped = statementBytes({ ...statement, decision: "deny" });
      expect(opensshVerifies(keys, name, SSHSIG_NAMESPACE, flipped, signature)).toBe(false);
    },
  );

  test("fingerprints are those that ssh-keygen -l prints", async () => {
    for (const name of ["id_ed25519", "id_ecdsa", "id_rsa"]) {
      const printed = execFileSync("ssh-keygen", ["-l", "-f", join(keys.dir, `${name}.pub`)], {
        encoding: "utf8",
      });
      expect(printed.split(" ")[1]).toBe((await at(name)).fingerprint);
    }
  });

  test("nothing of a signing is left in the temporary directory", async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith("countersign-sign-"));
    await sign(await at("id_ed25519"));
    const after = (await readdir(tmpdir())).filter((name) => name.startsWith("countersign-sign-"));
    expect(after).toEqual(before);
  });

  test("a key with a passphrase makes no signature where nobody can be asked", async () => {
    await expect(at("id_locked").then((key) => sign(key))).rejects.toMatchObject({
      code: "SIGNING_FAILED",
      hint: expect.stringContaining("--print-statement") as string,
    });
  });

  test("a solo approval is refused without a terminal (C6)", async () => {
    const refused = sign(await at("id_locked"), { solo: true });
    await expect(refused).rejects.toMatchObject({
      code: "SIGNING_FAILED",
      message: expect.stringContaining("terminal") as string,
    });
  });

  test("a solo approval is refused with a key that opens without a passphrase (C6)", async () => {
    const refused = sign(await at("id_ed25519"), { solo: true, interactive: true });
    await expect(refused).rejects.toMatchObject({
      code: "SIGNING_FAILED",
      details: { solo: "no_passphrase" },
    });
  });

  test("a probe that fails for another reason than the passphrase does not pass for a locked key (C6)", async () => {
    const open = join(keys.dir, "id_open");
    keys.make("id_open");
    chmodSync(open, 0o644);
    const refused = sign({ ...(await at("id_open")), file: open }, { solo: true, interactive: true });
    await expect(refused).rejects.toMatchObject({ code: "SIGNING_FAILED" });
    rmSync(open);
    rmSync(`${open}.pub`);
  });

  describe("with an agent", () => {
    let socket: string;
    let agent: ReturnType<typeof spawn>;
    let withAgent: SshSurroundings;
    beforeAll(async () => {
      socket = join(keys.dir, "agent.sock");
      agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: ["ignore", "pipe", "ignore"] });
      await new Promise((resolve) => agent.stdout?.once("data", resolve));
      withAgent = { ...keys.ssh, env: { ...keys.ssh.env, SSH_AUTH_SOCK: socket } };
      keys.make("id_agent");
      execFileSync("ssh-add", ["-q", join(keys.dir, "id_agent")], { env: withAgent.env, stdio: "ignore" });
      // Only the agent holds it from now on.
      renameSync(join(keys.dir, "id_agent"), join(keys.dir, "id_agent.away"));
    });
    afterAll(() => {
      agent.kill();
    });

    test("a key that only the agent holds is found and signs", async () => {
      const key = (await listLocalKeys(withAgent)).find(
        (found) => found.fingerprint === keys.fingerprint("id_agent"),
      );
      expect(key).toMatchObject({ inAgent: true, file: null });
      const signature = await sign(key as LocalKey, {}, withAgent);
      expect(opensshVerifies(keys, "id_agent", SSHSIG_NAMESPACE, bytes, signature)).toBe(true);
    });

    test("without the agent that key is not offered", async () => {
      const found = await listLocalKeys(keys.ssh);
      expect(found.map((key) => key.fingerprint)).not.toContain(keys.fingerprint("id_agent"));
    });

    test("a solo approval never takes the agent's key, whatever the environment offers (C6)", async () => {
      const key = (await listLocalKeys(withAgent)).find(
        (found) => found.fingerprint === keys.fingerprint("id_agent"),
      );
      const refused = sign(key as LocalKey, { solo: true, interactive: true }, withAgent);
      await expect(refused).rejects.toMatchObject({ code: "SIGNING_FAILED" });
    });
  });

  test("a statement swapped while it was signed is noticed", async () => {
    // A stand-in for ssh-keygen that signs other bytes than it was given, as a racing program would make the real one do.
    const bin = join(keys.dir, "bin");
    execFileSync("mkdir", ["-p", bin]);
    const real = execFileSync("sh", ["-c", "command -v ssh-keygen"], { encoding: "utf8" }).trim();
    writeFileSync(
      join(bin, "ssh-keygen"),
      `#!/bin/sh\nfor last; do :; done\nif [ "$3" = sign ]; then printf 'something else' > "$last"; fi\nexec ${real} "$@"\n`,
      { mode: 0o755 },
    );
    const ssh = { ...keys.ssh, env: { ...keys.ssh.env, PATH: `${bin}:${keys.ssh.env["PATH"] ?? ""}` } };
    await expect(sign(await at("id_ed25519"), {}, ssh)).rejects.toMatchObject({
      code: "SIGNING_FAILED",
      details: { swapped: true },
    });
  });

  test("a missing ssh-keygen is said with the way around it", async () => {
    const ssh = { ...keys.ssh, env: { PATH: "/nonexistent" } };
    await expect(sign(await at("id_ed25519"), {}, ssh)).rejects.toMatchObject({
      code: "SIGNING_FAILED",
      hint: expect.stringContaining("--signature FILE") as string,
    });
  });
});

describe("which key", () => {
  const person = (id: string, ...ssh: readonly { fingerprint: string; userVerified: boolean }[]): Person => ({
    id,
    name: id,
    disabled: false,
    os: [],
    ssh,
    oidc: null,
  });
  const key = (fingerprint: string, more: Partial<LocalKey> = {}): LocalKey => ({
    fingerprint,
    type: "ssh-ed25519",
    comment: "",
    publicLine: "",
    file: `/keys/${fingerprint}`,
    inAgent: false,
    ...more,
  });
  const people = new Map(
    [
      person("ana", { fingerprint: "F1", userVerified: false }, { fingerprint: "SK", userVerified: true }),
      person("ben", { fingerprint: "F2", userVerified: false }),
      { ...person("eve", { fingerprint: "F9", userVerified: false }), disabled: true },
    ].map((one) => [one.id, one] as const),
  );
  const wish = { userVerified: false, soloPerson: null };

  test("the only key that the policy knows decides who signs", () => {
    expect(chooseKey([key("F2"), key("other")], people, wish)).toMatchObject({
      person: "ben",
      fingerprint: "F2",
    });
  });

  test("where A3 is asked for, the key that verifies its user comes first, and else the ordinary one", () => {
    const both = [key("F1"), key("SK", { file: null, inAgent: true })];
    expect(chooseKey(both, people, { ...wish, userVerified: true }).fingerprint).toBe("SK");
    expect(chooseKey(both, people, wish).fingerprint).toBe("F1");
  });

  test("keys of two people on one machine need a word", () => {
    expect(() => chooseKey([key("F1"), key("F2")], people, wish)).toThrow(/keys of ana and ben/);
    expect(chooseKey([key("F1"), key("F2")], people, { ...wish, person: "ben" }).fingerprint).toBe("F2");
  });

  test("a disabled person's key is nobody's", () => {
    expect(() => chooseKey([key("F9")], people, wish)).toThrow(/belongs to anyone in the adopted policy/);
  });

  test("nothing found says what to add where", () => {
    try {
      chooseKey([key("F7")], people, { ...wish, person: "ana" });
      expect.unreachable();
    } catch (error) {
      expect((error as CountersignError).hint).toContain('people.ana.ssh: ["F7"]');
    }
  });

  test("someone alone is never given a key that only the agent holds (C6)", () => {
    expect(() =>
      chooseKey([key("F1", { file: null, inAgent: true })], people, { ...wish, soloPerson: "ana" }),
    ).toThrow(/only the agent holds/);
    const both = [key("F1"), key("SK", { file: null, inAgent: true })];
    expect(chooseKey(both, people, { userVerified: true, soloPerson: "ana" }).fingerprint).toBe("F1");
  });
});
