// The closed list of fault codes. A code is for ever: tests, docs/errors.md and users' scripts rely on it.
// Each area keeps its own block so that a reader finds the owner of a code by its position.

export const FAULTS = {
  // base, config
  ARGUMENTS_UNREPRESENTABLE: "a value cannot be hashed, shown and forwarded as the same bytes",
  CONFIG_INVALID: "countersign.yaml or a flag is malformed",
  HOME_NOT_FOUND: "no countersign home where one was expected",
  HOME_INSECURE: "a file or directory of the home is readable or writable by others",
  USAGE: "the command line was called with unknown or missing words",

  // log, store
  LOG_CORRUPT: "the decision log does not read back as it was written",
  LOG_ROLLED_BACK: "the log is shorter than, or differs from, a checkpoint signed earlier",
  LOG_UNKNOWN_ENTRY: "the log holds an entry kind or version that this release does not know",
  LOG_KEY_MISMATCH: "the key does not belong to this log",
  LOG_EXISTS: "a log already stands where a new one was to be made",
  ENTRY_TOO_LARGE: "an entry would exceed 64 KiB",
  ENTRY_FROM_FUTURE: "an entry is dated more than 5 s ahead of the clock",
  STORE_CLOSED: "the store has closed itself after a write that may not be durable",
  STORE_UNSUPPORTED: "the file system cannot hold the log safely",
  STORE_FULL: "the disk has no room for another entry",
  BLOB_MISSING: "a stored document is gone",
  BLOB_CORRUPT: "a stored document does not match its digest",
  RECEIPT_INVALID: "a receipt does not prove what it says",

  // policy
  POLICY_INVALID: "policy.yaml does not load",
  POLICY_NOT_ADOPTED: "no revision of the policy has been adopted",
  ADOPTION_REFUSED: "an adoption lacks what the running policy demands",

  // consent, execution
  GRANT_INVALID: "a grant is missing, spent or expired",
  SIGNATURE_INVALID: "a signature does not verify",
  SIGNING_FAILED: "the signing program did not make a signature",
  DECISION_REFUSED: "a decision was not accepted",
  CREDENTIAL_REFUSED: "a passkey was not invited, enrolled or removed",
  INVITATION_INVALID: "an enrolment code is wrong, used, replaced or expired",
  SIGN_IN_REFUSED: "a sign-in was not accepted",
  TOO_MANY_TRIES: "too many tries that failed; the next ones are refused for a while",
  REQUEST_NOT_FOUND: "no request with that id",
  ERASURE_REFUSED: "documents of a request can't be erased yet",
  REQUEST_AMBIGUOUS: "the request code fits more than one request",
  STEWARD_BUSY: "another process holds the steward's lock",

  // tools, transport
  TOOL_INVALID: "a tool definition is malformed",
  TOOL_BROKEN: "a tool broke its contract",
  UPSTREAM_CHANGED: "a fronted server's tool changed while it was being accepted",
  LISTEN_FAILED: "a port could not be opened",
  GATEWAY_UNREACHABLE: "no gateway answers where one was expected",
  GATEWAY_REFUSED: "the gateway did not take a call of the command line",
  CURSOR_INVALID: "a cursor of a listing is malformed",
  CONSOLE_NOT_BUILT: "the console's scripts and styles are missing",

  // registration with hosts
  AGENT_UNKNOWN: "the adopted policy does not know the agent",
  NO_APPROVER: "nobody can approve anything yet",
  HOST_CONFIG_INVALID: "a host's configuration does not read as what it has to be",
  HOST_CONFIG_REFUSED: "a host's configuration can't be changed safely",
  HOST_ENTRY_TAKEN: "a host has another entry of that name",
} as const;

export type FaultCode = keyof typeof FAULTS;

export interface FaultOptions {
  /** The next step for the person who reads it. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable context; never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A fault: something that is not part of the job. Refusals that are part of the job are values. */
export class CountersignError extends Error {
  override readonly name = "CountersignError";
  readonly code: FaultCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

export function isFault(error: unknown, code?: FaultCode): error is CountersignError {
  return error instanceof CountersignError && (code === undefined || error.code === code);
}
