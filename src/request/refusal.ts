/** Why a call ended without running, in words that callers may rely on for ever. docs/errors.md has one heading each. */
export const REFUSALS = {
  // the call itself
  unknown_tool: { class: "denied_fixable", advice: "list the tools and call one of them" },
  invalid_arguments: { class: "denied_fixable", advice: "correct the arguments and call again" },
  call_too_large: { class: "denied_fixable", advice: "send a smaller call" },
  key_reused: { class: "denied_fixable", advice: "use a new call id for other arguments" },
  unknown_ticket: { class: "denied_fixable", advice: "call the tool again" },
  unknown_inquiry: {
    class: "denied_fixable",
    advice: "wait on the ticket; a pending result names the questions that are open",
  },
  // who asks
  unknown_requester: { class: "denied_final", advice: "an operator has to add the lines shown" },
  insufficient_scope: {
    class: "denied_fixable",
    advice: "get a token that permits this, or ask the operator for one; then call again",
  },
  rate_limited: { class: "denied_fixable", advice: "wait, then call again" },
  // policy
  denied_by_policy: { class: "denied_final", advice: "do not repeat the call; ask the operator" },
  no_eligible_approver: {
    class: "denied_final",
    advice: "the operator has to name approvers other than the requester",
  },
  // evidence
  target_unknown: { class: "denied_fixable", advice: "name a registered target" },
  preview_failed: { class: "denied_fixable", advice: "correct the call; the operator's log has the cause" },
  definition_changed: {
    class: "denied_fixable",
    advice: "call again once the operator has accepted the new definition",
  },
  upstream_unavailable: { class: "denied_fixable", advice: "call again later" },
  needs_service: { class: "denied_fixable", advice: "the operator has to start the gateway as a service" },
  // people and time
  denied_by_person: {
    class: "denied_final",
    advice: "read the person's words; do not repeat the call as it is",
  },
  correction_wanted: {
    class: "denied_fixable",
    advice: "read the person's words, correct the call, then call again",
  },
  expired: { class: "expired", advice: "nobody answered in time; call again if it is still wanted" },
  stale: { class: "stale", advice: "the world changed; call again for a new plan" },
  withdrawn: { class: "withdrawn", advice: "the caller took the request back" },
  // the machine
  disk_low: { class: "denied_fixable", advice: "the operator has to free disk space" },
  clock_behind: { class: "denied_fixable", advice: "the operator has to correct the clock" },
  gate_closed: {
    class: "denied_fixable",
    advice: "the gateway could not write its log; the operator has to look",
  },
} as const satisfies Record<string, { class: RefusalClass; advice: string }>;

export type RefusalCode = keyof typeof REFUSALS;

/** What the caller may do about it. */
export type RefusalClass = "denied_final" | "denied_fixable" | "expired" | "stale" | "withdrawn";
