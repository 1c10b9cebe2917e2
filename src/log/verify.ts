// `import "countersign/verify"`: everything an auditor's machine needs, and nothing that it does not. It reads files
// and uses node:crypto; no store, no SDK, no schema or YAML library comes along (a test holds this).

export { FINDINGS, type Finding, type FindingCode, type Place } from "./finding.ts";
export { parseReceipt, type Receipt } from "./receipt.ts";
export type { DecisionSummary, ReceiptSummary } from "./verify-summary.ts";
export { verifyLog, type LogReport, type LogSource, type VerifyLogOptions } from "./verify-log.ts";
export { verifyReceipt, type ReceiptReport, type VerifyReceiptOptions } from "./verify-receipt.ts";
