import { isAbsolute } from "node:path";
import * as z from "zod";
import { later } from "../../src/base/later.ts";
import { digestJson, type Digest } from "../../src/base/digest.ts";
import { parseDuration } from "../../src/base/duration.ts";
import {
  absolutePath,
  accessProblems,
  directoryPath,
  environmentName,
  repositoryMembers,
} from "../git/repository.ts";

// A service as the operator registers it, under `services:` in countersign.yaml. Everything that runs comes from here
// and nothing from the agent or the repository (P5).

const duration = (fallback: string): z.ZodType<number, string | undefined> =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms === undefined || ms > 3_600_000) {
        context.addIssue({
          code: "custom",
          message: `a duration of at most 1h is expected, such as 30s or 2m`,
        });
        return z.NEVER;
      }
      return ms;
    });

const command = later(() =>
  z.strictObject({
    /** The program, by absolute path, and its arguments. No shell. */
    run: z
      .array(
        z
          .string()
          .max(4_096)
          .refine((word) => !word.includes("\0"), "a word without a NUL is expected"),
      )
      .min(1, "at least the program is expected")
      .max(64)
      .refine(
        (argv) => isAbsolute(argv[0] ?? ""),
        "the program is expected as an absolute path: PATH is not searched",
      ),
    timeout: duration("30s"),
    /** Names of the gateway's environment variables that the command may see. */
    env: z
      .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, "the name of a variable is expected"))
      .max(32)
      .default([]),
  }),
);
export type HealthCommand = z.infer<typeof command>;

/** One entry under `services:`. */
export const serviceRegistration = later(() =>
  z
    .strictObject({
      description: z.string().max(500).default(""),
      ...repositoryMembers,
      /** What policy sees as the environment of the target. */
      environment: environmentName,
      /** The release root: holds `releases/<id>/` and the link `current`. */
      releases: absolutePath.refine((path) => path !== "/", "a directory of the service's own is expected"),
      /** How many releases are kept, the current one included. */
      keep: z.int().min(2, "at least 2: the current release and the one before").max(100).default(5),
      /** Deploy this subdirectory of the repository instead of the whole. */
      directory: directoryPath.optional(),
      /** Runs in the new release before `current` is switched to it. */
      check: command.optional(),
      /** Runs after the switch; where it fails, `current` is switched back and it runs again. */
      health: command.optional(),
    })
    .superRefine((entry, context) => {
      for (const { key, message } of accessProblems(entry)) {
        context.addIssue({ code: "custom", path: [key], message });
      }
    }),
);
export type ServiceRegistration = z.infer<typeof serviceRegistration>;

/** A service name: the key under `services:` and the agent's `service` argument. */
export const SERVICE_NAME = /^[a-z][a-z0-9-]{0,40}$/;

/** Digest of a registration: an approval never moves to another (design §11). */
export const registrationDigest = (registration: ServiceRegistration): Digest =>
  digestJson("registry", registration);
