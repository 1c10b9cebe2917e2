// A unified diff, made here and not by git: a diff driver or a `-diff` attribute of the repository could hide a file
// from the person who approves, and what is compared is what stands on disk, which git may never have seen.
//
// Always true and whole: applying it to the old text gives the new one. Where the texts are too different to align
// cheaply, the middle is shown as removed and added, which is longer and just as true.

interface Edit {
  readonly kind: " " | "-" | "+";
  readonly line: string;
}

const CONTEXT = 3;
/** Edits up to which lines are aligned; time grows with lines × edits, memory with edits². */
const MAX_EDITS = 1_000;

/** Hunks that turn `before` into `after`; empty where they are equal. */
export function diffHunks(before: string, after: string): string {
  if (before === after) return "";
  const edits = align(splitLines(before), splitLines(after));
  let out = "";
  let oldLine = 1;
  let newLine = 1;
  for (let i = 0; i < edits.length;) {
    if (edits[i]?.kind === " ") {
      i += 1;
      oldLine += 1;
      newLine += 1;
      continue;
    }
    const start = Math.max(0, i - CONTEXT);
    const lead = i - start;
    let end = i;
    // A hunk goes on while the next change is near enough that the contexts touch.
    for (let quiet = 0, j = i; j < edits.length && quiet <= CONTEXT * 2; j += 1) {
      quiet = edits[j]?.kind === " " ? quiet + 1 : 0;
      if (quiet === 0) end = j + 1;
    }
    const hunk = edits.slice(start, Math.min(edits.length, end + CONTEXT));
    const removed = hunk.filter((edit) => edit.kind !== "+").length;
    const added = hunk.filter((edit) => edit.kind !== "-").length;
    out += `@@ -${range(oldLine - lead, removed)} +${range(newLine - lead, added)} @@\n`;
    for (const { kind, line } of hunk) {
      out += line.endsWith("\n") ? kind + line : `${kind}${line}\n\\ No newline at end of file\n`;
    }
    oldLine += removed - lead;
    newLine += added - lead;
    i = start + hunk.length;
  }
  return out;
}

// A range of no lines names the line before it (POSIX diff -u).
function range(start: number, count: number): string {
  if (count === 0) return `${start - 1},0`;
  return count === 1 ? String(start) : `${start},${count}`;
}

function splitLines(text: string): string[] {
  const lines = text.split("\n");
  const last = lines.pop() as string;
  const whole = lines.map((line) => `${line}\n`);
  return last === "" ? whole : [...whole, last];
}

function align(before: readonly string[], after: readonly string[]): readonly Edit[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  while (
    tail < before.length - head &&
    tail < after.length - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail += 1;
  }
  const same = (lines: readonly string[]): Edit[] => lines.map((line) => ({ kind: " ", line }));
  const oldMiddle = before.slice(head, before.length - tail);
  const newMiddle = after.slice(head, after.length - tail);
  const middle = shortestEdit(oldMiddle, newMiddle) ?? [
    ...oldMiddle.map((line): Edit => ({ kind: "-", line })),
    ...newMiddle.map((line): Edit => ({ kind: "+", line })),
  ];
  return [...same(before.slice(0, head)), ...middle, ...same(before.slice(before.length - tail))];
}

// Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), the greedy form: v[k] is how far along `a` the
// furthest path on diagonal k has come after d edits; the v of each d is kept to walk back.
function shortestEdit(a: readonly string[], b: readonly string[]): Edit[] | undefined {
  const limit = Math.min(a.length + b.length, MAX_EDITS);
  const offset = limit + 1;
  const v = new Int32Array(2 * limit + 3);
  const trace: Int32Array[] = [];
  for (let d = 0; d <= limit; d += 1) {
    trace.push(v.slice(offset - d - 1, offset + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (v[offset + k - 1] ?? 0) < (v[offset + k + 1] ?? 0));
      let x = down ? (v[offset + k + 1] ?? 0) : (v[offset + k - 1] ?? 0) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      v[offset + k] = x;
      if (x >= a.length && y >= b.length) return walkBack(a, b, trace);
    }
  }
  return undefined;
}

function walkBack(a: readonly string[], b: readonly string[], trace: readonly Int32Array[]): Edit[] {
  const edits: Edit[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    // trace[d] holds diagonals -d-1 … d+1.
    const at = (k: number): number => trace[d]?.[k + d + 1] ?? 0;
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const fromX = d === 0 ? 0 : down ? at(k + 1) : at(k - 1);
    const fromY = d === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY && (d === 0 || x - (down ? 0 : 1) > fromX || y - (down ? 1 : 0) > fromY)) {
      x -= 1;
      y -= 1;
      edits.push({ kind: " ", line: a[x] as string });
    }
    if (d > 0) {
      if (down) edits.push({ kind: "+", line: b[--y] as string });
      else edits.push({ kind: "-", line: a[--x] as string });
    }
  }
  return edits.reverse();
}
