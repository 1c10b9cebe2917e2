import type { YamlPath } from "../base/yaml.ts";
import { accountText } from "./accounts.ts";
import type { Fail } from "./resolve.ts";
import type { RawPolicy } from "./schema.ts";

// A name that means two things would let one edit of the file change who is meant.
export function refuseSharedNames(raw: RawPolicy, fail: Fail): void {
  for (const group of Object.keys(raw.groups)) {
    if (Object.hasOwn(raw.people, group)) fail(["groups", group], "a person has the same name");
  }
  for (const service of Object.keys(raw.services)) {
    if (Object.hasOwn(raw.people, service)) fail(["services", service], "a person has the same name");
  }
}

// Quorum counts people, not accounts: a key or account that two people share would let one of them be both.
export function refuseSharedKeys(raw: RawPolicy, fail: Fail): void {
  const holders = new Map<string, string>();
  const claim = (path: YamlPath, key: string, person: string): void => {
    const holder = holders.get(key);
    if (holder === undefined) holders.set(key, person);
    else fail(path, holder === person ? "listed twice" : `${holder} has it too; ${path[0]} can't share it`);
  };
  for (const [id, person] of Object.entries(raw.people)) {
    person.ssh?.forEach((key, i) =>
      claim(["people", id, "ssh", i], `ssh ${typeof key === "string" ? key : key.fingerprint}`, id),
    );
    person.os?.forEach((account, i) => claim(["people", id, "os", i], `os ${account}`, id));
    if (person.slack !== undefined) claim(["people", id, "slack"], `slack ${person.slack}`, id);
    if (person.oidc) claim(["people", id, "oidc"], `oidc ${accountText(person.oidc)}`, id);
  }
  for (const [id, { oidc }] of Object.entries(raw.services)) {
    if (oidc) claim(["services", id, "oidc"], `oidc ${accountText(oidc)}`, id);
  }
  for (const [id, { oidc }] of Object.entries(raw.agents)) {
    if (oidc) claim(["agents", id, "oidc"], `agent ${accountText(oidc)}`, id);
  }
}
