// The public surface of the package: what a tool's author needs. Verifying offline is `countersign/verify`.

export { defineTool, NoEffect, ToolRefusal } from "./tool.ts";
export type { Reconciled, SealedFile, Tool, ToolContext, ToolPreview, ToolSpec } from "./tool.ts";
export { checkTool, TOOL_CHECKS } from "./tool-kit.ts";
export type { ToolWorld } from "./tool-kit.ts";
export type { Effect, Target } from "./request/action-request.ts";
export type { ToolView } from "./preview/view.ts";
export type { Fidelity } from "./preview/fidelity.ts";
export { CountersignError, FAULTS, type FaultCode } from "./errors.ts";
