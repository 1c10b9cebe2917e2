import type { JsonObject } from "../base/canonical-json.ts";
import type { Clock } from "../base/clock.ts";
import type { Result } from "../base/result.ts";
import type { Surroundings } from "../config/environment.ts";
import type { HomeOrigin } from "../config/locate-home.ts";
import type { Settings } from "../config/settings.ts";
import type { CountersignError } from "../errors.ts";
import type { Policy } from "../policy/policy.ts";
import type { LogFacts } from "./log-facts.ts";

// What a check is given and what it answers. A check reads and never writes: it may run beside a gateway that is at work,
// and on a home that is broken in any way.

export type Status = "ok" | "warn" | "fail";

/** One line of the doctor's answer. */
export interface Finding {
  readonly status: Status;
  /** One line; may hold names that are not ours, so it is neutralised when printed (P3). */
  readonly says: string;
  /** The next step, where something is to be done. */
  readonly next?: string;
}

export const fine = (says: string): Finding => ({ status: "ok", says });
export const warn = (says: string, next: string): Finding => ({ status: "warn", says, next });
export const fail = (says: string, next: string): Finding => ({ status: "fail", says, next });

/** The home that is looked at. */
export interface Patient {
  readonly version: string;
  readonly around: Surroundings;
  readonly clock: Clock;
  readonly home: string;
  readonly origin: HomeOrigin;
  /** `<home>/data`, whether the configuration loads or not. */
  readonly dataDir: string;
  /** Null where the configuration does not load; `configFault` then says why. */
  readonly settings: Settings | null;
  readonly configFault: CountersignError | null;
  /** The log as its files are; null where there is none. Read once. */
  log(): Promise<LogFacts | null>;
  /** The adopted policy; null where there is none, an error as a sentence. Loaded once. */
  adopted(): Promise<AdoptedPolicy | null>;
  /** The policy file as it stands; errors as lines with places. */
  proposed(): Promise<{ readonly policy: Policy | null; readonly errors: readonly string[] } | null>;
  /** The registrations as the operator's file has them now. */
  registrations(): Promise<Result<JsonObject, readonly string[]>>;
  /** Runs a program without a shell; null where it is not installed. */
  run(command: string, args: readonly string[]): Promise<ProgramAnswer | null>;
}

export interface AdoptedPolicy {
  readonly policy: Policy | null;
  readonly error: string | null;
  /** Digest of the registrations that were adopted with it. */
  readonly registry: string;
}

export interface ProgramAnswer {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One area that can be wrong. */
export interface Check {
  /** What is looked at, in a word or two: stands in front of each line. */
  readonly name: string;
  /** Without a home, or with a configuration that does not load, there is nothing to look at. */
  readonly needs: "nothing" | "data" | "settings";
  look(patient: Patient): Promise<readonly Finding[]>;
}
