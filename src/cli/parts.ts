import type { z } from "zod";
import type { JsonObject } from "../base/canonical-json.ts";
import type { Clock } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { LogId, RequestId } from "../base/id.ts";
import type { Result } from "../base/result.ts";
import type { SourceError } from "../base/yaml.ts";
import type { ListenAddress, ReadConfig } from "../config/config-file.ts";
import type { Surroundings } from "../config/environment.ts";
import type { Settings } from "../config/settings.ts";
import type { VerifyConsistency } from "../consent/channels/cli/witness.ts";
import type { ReceiptSummary } from "../log/verify-summary.ts";
import type { Check } from "../doctor/check.ts";
import type { Home } from "../gate/home.ts";
import type { Policy, PolicyInput, ToolFacts } from "../policy/policy.ts";
import type { Streams } from "./terminal.ts";
import type { UpstreamTools } from "./upstream-words.ts";

/** What the command line is given. Everything that touches a home, a log or a network comes in here. */
export interface CliParts {
  readonly version: string;
  /** How this program is started again: Node and our file, both absolute. */
  readonly self: readonly string[];
  readonly around: Surroundings;
  readonly streams: Streams;
  readonly clock: Clock;
  /** Aborted when the person interrupts: what follows without end stops. */
  readonly interrupted: AbortSignal;
  /** Schema of `services:` in countersign.yaml. */
  readonly servicesSchema: z.ZodType;
  /** Schema of `workspaces:`. */
  readonly workspacesSchema: z.ZodType;
  /** Schema of `upstreams:`. */
  readonly upstreamsSchema?: z.ZodType;
  /** Reads countersign.yaml by these schemas; absent: it is read anew each time. */
  readonly readConfig?: ReadConfig;
  /** Opens a home for one command: it never becomes the steward and listens on nothing. */
  openHome(settings: Settings): Promise<Home>;
  /** The gateway that serves the home now: its address for people; null where none runs. */
  gatewayOf(settings: Settings): Promise<{ readonly api: string } | null>;
  /**
   * Makes a new home's data directory, keys and first entries, and adopts the policy file as the first revision.
   * @throws CountersignError `LOG_EXISTS`, `POLICY_INVALID`
   */
  initHome(settings: Settings): Promise<NewHome>;
  /** Serves until a signal or the host ends it; resolves to the exit code. */
  serve(what: Serving): Promise<number>;
  readonly verifyConsistency: VerifyConsistency;
  readonly policyTools: PolicyTools;
  /** What there is to call in a home whose files say so: the built-in tools and those of fronted servers. */
  toolFacts?(settings: Settings): Promise<readonly ToolFacts[]>;
  readonly upstreamTools?: UpstreamTools;
  readonly logTools: LogTools;
  /** The registrations as the operator's file has them now; errors as lines with places. */
  readRegistrations(settings: Settings): Promise<Result<JsonObject, readonly string[]>>;
  /** What `countersign doctor` looks at for the built-in tools. */
  toolChecks(): Promise<readonly Check[]>;
}

export interface NewHome {
  readonly log: LogId;
  /** C2SP verifier key of the log: what a receipt is checked against. */
  readonly key: string;
  readonly revision: Digest;
}

/** What `start`, `mcp` and `demo` ask to be run. */
export type Serving =
  /** Listeners for agents and people, steward if nobody is. */
  | { readonly kind: "start"; readonly settings: Settings }
  /** One MCP session over stdio; a shim where a gateway serves the home already. */
  | { readonly kind: "mcp"; readonly settings: Settings }
  /** The same as a shim to a gateway of another account or machine: no home, one token. */
  | { readonly kind: "shim"; readonly url: string; readonly token: string; readonly agent: string | null }
  /** A throwaway home whose tools are confined to its workspace. */
  | { readonly kind: "start_demo"; readonly mcp: ListenAddress | null; readonly api: ListenAddress | null }
  /** A story in the terminal: an agent asks, a person answers; `auto` plays the person too. */
  | { readonly kind: "demo"; readonly auto: boolean };

/** What the policy commands need of src/policy. */
export interface PolicyTools {
  /** Loads a policy against these tools, else the built-in ones. `notes` are lints: the policy loads, but look. */
  load(
    text: string,
    file: string,
    tools?: readonly ToolFacts[],
  ): Result<{ readonly policy: Policy; readonly notes: readonly SourceError[] }, readonly SourceError[]>;
  /** Runs the `tests:` of a policy. */
  test(policy: Policy, tools?: readonly ToolFacts[]): { readonly tests: readonly PolicyTestResult[] };
  /** Reads a call as `tests:` write it (`{ tool, environment, args, preview, … }`); messages name the path. */
  readCall(
    call: unknown,
    policy: Policy,
    tools?: readonly ToolFacts[],
  ): Result<PolicyInput, readonly string[]>;
}

export interface PolicyTestResult {
  readonly it: string;
  readonly line: number;
  readonly passed: boolean;
  /** One per expectation that was not met. */
  readonly differences: readonly string[];
  /** What decided: `hold by prod-deletes-need-two`. */
  readonly got: string;
}

/** What the log commands need of src/log; its functions fit as they are. */
export interface LogTools {
  /** Reads a directory of segments again: every hash, signature, decision, and the order of every request's entries. */
  verifyLog(
    directory: string,
    options: {
      /** Verifier key that is trusted; absent: the one in entry 0. */
      readonly key?: string;
      /** Checkpoints kept elsewhere, as signed notes: the log has to extend each. */
      readonly against?: readonly string[];
      /** Bytes read so far. */
      readonly onProgress?: (bytes: number) => void;
    },
  ): Promise<LogReport>;
  /** The receipt of one request, as text. */
  buildReceipt(home: Pick<Home, "store" | "adoption" | "credentials">, request: RequestId): Promise<string>;
  /** Checks a receipt offline; without `key`, against the one it carries. */
  verifyReceipt(text: string, options: { readonly key?: string }): Promise<ReceiptReport>;
}

export interface Finding {
  readonly code: string;
  /** A fault means that it does not prove what it should; a notice is worth knowing. */
  readonly severity: "fault" | "notice";
  readonly message: string;
  /** Entry that it is about; null where it is about the whole. */
  readonly seq: number | null;
}

export interface LogReport {
  readonly ok: boolean;
  readonly logId: string | null;
  /** The verifier key that the checkpoint was checked with. */
  readonly key: string | null;
  readonly checkpoint: { readonly size: number; readonly root: Digest } | null;
  readonly entries: number;
  /** Entries after the checkpoint. */
  readonly uncovered: number;
  readonly requests: number;
  readonly decisions: number;
  readonly findings: readonly Finding[];
  readonly unlisted: number;
}

export interface ReceiptReport {
  readonly ok: boolean;
  readonly request: string | null;
  /** The verifier key that it was checked against. */
  readonly key: string | null;
  readonly findings: readonly Finding[];
  /** What it proves, in the reader's order; null where it could not be read far enough. */
  readonly summary: ReceiptSummary | null;
}
