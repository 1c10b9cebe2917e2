import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseSshPublicKeyLine } from "../../../base/ssh-key.ts";
import { WireError } from "../../../base/ssh-wire.ts";
import { CountersignError } from "../../../errors.ts";
import type { Person } from "../../../policy/policy.ts";
import { runProgram } from "./run-program.ts";

// Which of the keys on this machine belongs to whom. Only public parts are read here.

/** A key this account could sign with. */
export interface LocalKey {
  /** As `ssh-keygen -l` prints it: `SHA256:` and 43 characters. */
  readonly fingerprint: string;
  /** `ssh-ed25519`, `sk-ssh-ed25519@openssh.com`, … */
  readonly type: string;
  readonly comment: string;
  /** One line of a `.pub` file. */
  readonly publicLine: string;
  /** Path of the private key file; null where only the agent (or a token) holds it. */
  readonly file: string | null;
  readonly inAgent: boolean;
}

/** A local key with the person to whom the adopted policy gives it. */
export interface SignerKey extends LocalKey {
  readonly person: string;
  /** Enrolled as a key that verifies its user: A3. */
  readonly userVerified: boolean;
}

/** What the SSH programs may see of the environment, and where keys lie. Made from settings, never from process.env. */
export interface SshSurroundings {
  readonly env: Readonly<Record<string, string>>;
  /** `~/.ssh` */
  readonly keyDir: string;
}

interface PublicPart {
  readonly type: string;
  readonly fingerprint: string;
  readonly publicLine: string;
  readonly comment: string;
}

/** One line of a `.pub` file; undefined for anything else: certificates, weak keys, types that may not sign. */
function readPublicLine(line: string): PublicPart | undefined {
  try {
    const { type, fingerprint, blob, comment } = parseSshPublicKeyLine(line.trim());
    return { type, fingerprint, comment, publicLine: `${type} ${blob.toString("base64")}` };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Keys in `~/.ssh/*.pub` and in the agent, each fingerprint once. */
export async function listLocalKeys(ssh: SshSurroundings): Promise<readonly LocalKey[]> {
  const keys = new Map<string, LocalKey>();
  for (const name of await publicFiles(ssh.keyDir)) {
    const path = join(ssh.keyDir, name);
    const parsed = readPublicLine(await readFile(path, "utf8").catch(() => ""));
    if (parsed === undefined) continue;
    const file = path.slice(0, -".pub".length);
    const isThere = await stat(file).then(
      (found) => found.isFile(),
      () => false,
    );
    keys.set(parsed.fingerprint, {
      ...parsed,
      comment: parsed.comment === "" ? name : parsed.comment,
      file: isThere ? file : null,
      inAgent: false,
    });
  }
  for (const parsed of await agentKeys(ssh)) {
    const known = keys.get(parsed.fingerprint);
    keys.set(parsed.fingerprint, {
      ...parsed,
      comment: known?.comment ?? parsed.comment,
      file: known?.file ?? null,
      inAgent: true,
    });
  }
  return [...keys.values()].filter((key) => key.file !== null || key.inAgent);
}

async function publicFiles(dir: string): Promise<readonly string[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "EACCES") return [];
    throw error;
  });
  return names.filter((name) => name.endsWith(".pub")).sort();
}

async function agentKeys(ssh: SshSurroundings): Promise<readonly PublicPart[]> {
  if (ssh.env["SSH_AUTH_SOCK"] === undefined) return [];
  // Exit 1: the agent holds nothing; 2: no agent answers. Either way there are no keys to offer.
  const run = await runProgram("ssh-add", ["-L"], { env: ssh.env, timeoutMs: 5_000 }).catch(() => null);
  if (run === null || run.exitCode !== 0) return [];
  return run.stdout.split("\n").flatMap((line) => readPublicLine(line) ?? []);
}

/**
 * The key at `path`, which names a private key file or a `.pub` file.
 * @throws CountersignError `SIGNING_FAILED`
 */
export async function localKeyAt(path: string, ssh: SshSurroundings): Promise<LocalKey> {
  const privatePath = path.endsWith(".pub") ? path.slice(0, -".pub".length) : path;
  const publicPath = `${privatePath}.pub`;
  const parsed =
    readPublicLine(await readFile(publicPath, "utf8").catch(() => "")) ??
    (await publicPartOf(privatePath, ssh));
  if (parsed === undefined) {
    throw new CountersignError("SIGNING_FAILED", `no SSH key can be read at ${path}`, {
      hint: `put its public half beside it as ${publicPath}: ssh-keygen -y -f KEY > KEY.pub`,
    });
  }
  const isThere = await stat(privatePath).then(
    (found) => found.isFile(),
    () => false,
  );
  const inAgent = (await agentKeys(ssh)).some((key) => key.fingerprint === parsed.fingerprint);
  return { ...parsed, file: isThere ? privatePath : null, inAgent };
}

async function publicPartOf(file: string, ssh: SshSurroundings): Promise<PublicPart | undefined> {
  const run = await runProgram("ssh-keygen", ["-y", "-P", "", "-f", file], {
    env: ssh.env,
    timeoutMs: 10_000,
  });
  return run.exitCode === 0 ? readPublicLine(run.stdout) : undefined;
}

/** What is wanted of a signing key. */
export interface KeyWish {
  /** Only keys of this person. */
  readonly person?: string;
  /** The policy demands A3: keys enrolled as user-verified come first. */
  readonly userVerified: boolean;
  /** The person of `solo:` where it applies (C6): a key file then, never what the agent alone holds. */
  readonly soloPerson: string | null;
}

/**
 * The key to sign with, of those that the adopted policy gives to a person.
 * @throws CountersignError `SIGNING_FAILED`, whose hint names what would help
 */
export function chooseKey(
  keys: readonly LocalKey[],
  people: ReadonlyMap<string, Person>,
  wish: KeyWish,
): SignerKey {
  const owned = keys.flatMap((key) => ownersOf(key, people));
  const mine = wish.person === undefined ? owned : owned.filter((key) => key.person === wish.person);
  const persons = [...new Set(mine.map((key) => key.person))];
  if (persons.length === 0) throw noKey(keys, wish.person);
  if (persons.length > 1) {
    throw new CountersignError(
      "SIGNING_FAILED",
      `keys of ${persons.sort().join(" and ")} are on this machine`,
      {
        hint: "say who you are: --as PERSON, or which key: --key FILE",
      },
    );
  }
  const solo = persons[0] === wish.soloPerson;
  const usable = solo ? mine.filter((key) => key.file !== null) : mine;
  // User-verified first where that is asked for; then a file before the agent, because the file's owner is here.
  const rank = (key: SignerKey): number =>
    (key.userVerified === wish.userVerified ? 0 : 2) + (key.file === null ? 1 : 0);
  const best = [...usable].sort((a, b) => rank(a) - rank(b))[0];
  if (best === undefined) {
    throw new CountersignError(
      "SIGNING_FAILED",
      "someone alone signs with a key file, and only the agent holds the key",
      {
        hint: "name the key file: --key ~/.ssh/id_ed25519",
      },
    );
  }
  return best;
}

function ownersOf(key: LocalKey, people: ReadonlyMap<string, Person>): readonly SignerKey[] {
  return [...people.values()].flatMap((person) =>
    person.disabled
      ? []
      : person.ssh
          .filter((entry) => entry.fingerprint === key.fingerprint)
          .map((entry) => ({ ...key, person: person.id, userVerified: entry.userVerified })),
  );
}

function noKey(keys: readonly LocalKey[], person: string | undefined): CountersignError {
  const who = person ?? "you";
  const offered = keys.map((key) => key.fingerprint);
  const hint =
    offered.length === 0
      ? "name a key file: --key FILE; or make one: ssh-keygen -t ed25519"
      : `if one is yours, propose it in policy.yaml: people.${person ?? "<you>"}.ssh: ["${offered[0]}"], then: countersign policy adopt`;
  const held =
    offered.length === 0 ? "there is none in ~/.ssh and none in the agent" : `found ${offered.join(", ")}`;
  return new CountersignError(
    "SIGNING_FAILED",
    `no SSH key here belongs to ${person === undefined ? "anyone in the adopted policy" : who}: ${held}`,
    { hint },
  );
}
