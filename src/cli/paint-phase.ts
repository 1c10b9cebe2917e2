import type { Paint } from "../base/terminal.ts";
import type { Phase } from "../request/summary.ts";

/** The colour of a phase; the cell may go on with a reason. */
export function paintPhase(cell: string, paint: Paint): string {
  switch (cell.split(":")[0] as Phase) {
    case "done":
      return paint.green(cell);
    case "held":
    case "granted":
    case "claimed":
    case "dispatched":
      return paint.yellow(cell);
    case "failed":
    case "unknown":
    case "denied":
    case "refused":
      return paint.red(cell);
    case "received":
    case "planned":
    case "expired":
    case "withdrawn":
    case "stale":
      return paint.dim(cell);
  }
}
