/** One line of the bench table. */
export interface BenchRow {
  readonly name: string;
  /** What we measure, with its unit. */
  readonly ours: string;
  /** The same on the bare machine, or the budget. */
  readonly reference: string;
  readonly ratio: number;
  /** What the ratio must be, e.g. `<= 1.8`; null where the row is for information. */
  readonly bar: `<= ${number}` | `>= ${number}` | null;
}

export interface BenchOptions {
  /** Fewer rounds and smaller logs: for a look, not for a record. */
  readonly quick: boolean;
}

export type Bench = (options: BenchOptions) => Promise<readonly BenchRow[]>;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};
