// Names that clients rely on, apart from the code that uses them.

/** The companion tool that waits for a pending request's answer. */
export const WAIT_TOOL = "countersign_wait";
/** The companion tool that answers what people ask about a pending request. */
export const ANSWER_TOOL = "countersign_answer";
/** The companion tool that takes a request back. */
export const WITHDRAW_TOOL = "countersign_withdraw";
/** The `_meta` key by which a client names its call: the same id means the same call. */
export const CALL_ID_META = "dev.countersign/callId";

/** The one revision of the modern era. */
export const MODERN_REVISION = "2026-07-28";
