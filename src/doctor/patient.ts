import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSourceError } from "../base/yaml.ts";
import type { Clock } from "../base/clock.ts";
import type { Surroundings } from "../config/environment.ts";
import type { HomeOrigin } from "../config/locate-home.ts";
import type { Settings } from "../config/settings.ts";
import { err, type Result } from "../base/result.ts";
import type { SourceError } from "../base/yaml.ts";
import type { CountersignError } from "../errors.ts";
import type { Policy } from "../policy/policy.ts";
import { createBlobStore } from "../store/embedded/blobs.ts";
import { systemFiles } from "../store/embedded/files.ts";
import type { AdoptedPolicy, Patient } from "./check.ts";
import { readLogFacts } from "./log-facts.ts";

export interface PatientParts {
  readonly version: string;
  readonly around: Surroundings;
  readonly clock: Clock;
  readonly home: string;
  readonly origin: HomeOrigin;
  readonly settings: Settings | null;
  readonly configFault: CountersignError | null;
  readonly run: Patient["run"];
  readRegistrations(settings: Settings): ReturnType<Patient["registrations"]>;
  loadPolicy(text: string, file: string): Result<{ readonly policy: Policy }, readonly SourceError[]>;
}

/** The home as its files are. What several checks need is read once. */
export function createPatient(parts: PatientParts): Patient {
  const { settings, home } = parts;
  const dataDir = settings?.dataDir ?? join(home, "data");
  const log = once(() => readLogFacts(join(dataDir, "log")));

  const adopted = once(async (): Promise<AdoptedPolicy | null> => {
    const entry = (await log())?.adopted;
    if (entry === undefined || entry === null) return null;
    const { registry, revision, text } = entry.data;
    const blobs = createBlobStore({
      files: systemFiles,
      blobsDir: join(dataDir, "blobs"),
      keysDir: join(dataDir, "keys"),
    });
    try {
      const source = new TextDecoder().decode(await blobs.get("policy", text));
      const loaded = parts.loadPolicy(source, "policy.yaml");
      if (!loaded.ok) return { policy: null, error: lines(loaded.error)[0] ?? "it does not load", registry };
      const { policy } = loaded.value;
      const isSame = policy.revision === revision;
      return {
        policy: isSame ? policy : null,
        error: isSame ? null : "it resolves to another revision here",
        registry,
      };
    } catch (error) {
      return { policy: null, error: error instanceof Error ? error.message : String(error), registry };
    }
  });

  const proposed = once(async () => {
    if (settings === null) return null;
    const file = settings.policyFile;
    const text = await readFile(file, "utf8").catch(() => null);
    if (text === null) return { policy: null, errors: [`${file} can't be read`] };
    const loaded = parts.loadPolicy(text, file);
    return loaded.ok
      ? { policy: loaded.value.policy, errors: [] }
      : { policy: null, errors: lines(loaded.error) };
  });

  const registrations: Patient["registrations"] = () =>
    settings === null ? Promise.resolve(err([])) : parts.readRegistrations(settings);

  return { ...parts, dataDir, log, adopted, proposed, registrations };
}

const lines = (errors: readonly SourceError[]): string[] => errors.map(formatSourceError);

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  return () => (answer ??= read());
}
