import { taggedBytes } from "../base/canonical-json.ts";
import type { Timestamp } from "../base/clock.ts";
import type { GrantId, RequestId } from "../base/id.ts";
import type { PersonId } from "../request/principal.ts";

/** What a person signs who looked, and says what became of a request whose outcome is unknown. */
export interface SettlementStatement {
  readonly typ: "countersign.settlement";
  readonly v: 1;
  readonly log: string;
  readonly request: RequestId;
  readonly grant: GrantId;
  readonly outcome: "done" | "failed";
  /** Ask for it again, as a new request that goes the whole way. Only with `failed`. */
  readonly again: boolean;
  readonly message: string;
  readonly approver: PersonId;
  readonly issued_at: Timestamp;
}

/** SSHSIG namespace of settlements. */
export const SETTLEMENT_NAMESPACE = "settlement@countersign.dev";

/** The bytes to sign: `countersign.settlement.v1\n` and the RFC 8785 text. */
export const settlementBytes = (statement: SettlementStatement): Uint8Array =>
  taggedBytes("countersign.settlement.v1", statement);
