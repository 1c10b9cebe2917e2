import { neutralLine } from "../base/text.ts";
import type { Finding } from "./parts.ts";
import type { Terminal } from "./terminal.ts";

/** One line each, faults first: `FAULT changed #12: a line is not what was written`. */
export function printFindings(terminal: Terminal, findings: readonly Finding[]): void {
  const { red, yellow } = terminal.paint;
  const order = [...findings].sort(
    (a, b) => Number(a.severity === "notice") - Number(b.severity === "notice"),
  );
  for (const { severity, code, message, seq } of order) {
    const word = severity === "fault" ? red("FAULT ") : yellow("notice");
    terminal.out(`${word} ${neutralLine(code)}${seq === null ? "" : ` #${seq}`}: ${neutralLine(message)}`);
  }
}
