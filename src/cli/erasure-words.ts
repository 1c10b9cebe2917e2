import { neutralLine } from "../base/text.ts";
import { RETENTION, type Erasure } from "../gate/records.ts";

/** `erased on 2027-… under retention`, or by whom and why; neutral. */
export function erasureWords({ time, why, by }: Erasure): string {
  if (why === RETENTION && by === undefined) return `erased on ${time} under retention`;
  return neutralLine(`erased on ${time}${by === undefined ? "" : ` by ${by}`}: ${why}`);
}
