import type { Target } from "../request/action-request.ts";
import { globMatcher, globPrefix, isGlob } from "./glob.ts";
import type { Rule } from "./rule.ts";

// Finds the few rules that can speak about a call among very many, by their match block alone: exact tool names in a
// map, `prefix*` in a trie, any other glob in a list, and within a large bucket by environment and agent. It may
// give too many rules, never too few; test/property/policy-index.test.ts holds it against a plain scan.

export interface RuleIndex {
  /** Orders of the rules whose tool, and mostly agent and environment, fit. Reused by the next call. */
  candidates(tool: string, agent: string | null, targets: readonly Target[]): readonly number[];
  /** Orders of the rules whose tool fits, whatever else they say. */
  forTool(tool: string): readonly number[];
}

interface Bucket {
  readonly orders: number[];
  /** By environment, then agent; ANY where a rule doesn't name one exactly. Null in a small bucket. */
  cells: Map<string, Map<string, number[]>> | null;
}

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  bucket: Bucket | null;
}

const ANY = "*";
/** Up to so many rules are looked at one by one. */
const SMALL = 8;

export function createRuleIndex(rules: readonly Rule[]): RuleIndex {
  const exact = new Map<string, Bucket>();
  const everyTool = newBucket();
  const root: TrieNode = { next: new Map(), bucket: null };
  const otherGlobs = new Map<
    string,
    { readonly matches: (tool: string) => boolean; readonly bucket: Bucket }
  >();

  for (const rule of rules) {
    for (const pattern of rule.match.tool ?? [ANY]) bucketFor(pattern).orders.push(rule.order);
  }
  for (const bucket of allBuckets())
    if (bucket.orders.length > SMALL) bucket.cells = cellsOf(bucket.orders, rules);

  function bucketFor(pattern: string): Bucket {
    if (pattern === ANY) return everyTool;
    if (!isGlob(pattern)) return getOrAdd(exact, pattern, newBucket);
    const prefix = globPrefix(pattern);
    if (pattern !== `${prefix}*`) {
      return getOrAdd(otherGlobs, pattern, () => ({ matches: globMatcher(pattern), bucket: newBucket() }))
        .bucket;
    }
    let node = root;
    for (let i = 0; i < prefix.length; i += 1) {
      node = getOrAdd(node.next, prefix.charCodeAt(i), () => ({ next: new Map(), bucket: null }));
    }
    return (node.bucket ??= newBucket());
  }

  function* allBuckets(): Generator<Bucket> {
    yield everyTool;
    yield* exact.values();
    for (const { bucket } of otherGlobs.values()) yield bucket;
    const nodes = [root];
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      if (node.bucket) yield node.bucket;
      nodes.push(...node.next.values());
    }
  }

  const found: number[] = [];
  // A rule sits in several buckets where it names several tools. A stamp per query tells which were taken already.
  const stamps = new Uint32Array(rules.length);
  let stamp = 0;
  const take = (orders: readonly number[] | undefined): void => {
    if (orders === undefined) return;
    for (const order of orders) {
      if (stamps[order] === stamp) continue;
      stamps[order] = stamp;
      found.push(order);
    }
  };
  const begin = (): void => {
    found.length = 0;
    stamp += 1;
    if (stamp === 0xffff_ffff) {
      stamps.fill(0);
      stamp = 1;
    }
  };
  const eachBucket = (tool: string, visit: (bucket: Bucket) => void): void => {
    visit(everyTool);
    const named = exact.get(tool);
    if (named) visit(named);
    let node: TrieNode | undefined = root;
    for (let i = 0; node; i += 1) {
      if (node.bucket) visit(node.bucket);
      if (i === tool.length) break;
      node = node.next.get(tool.charCodeAt(i));
    }
    for (const glob of otherGlobs.values()) if (glob.matches(tool)) visit(glob.bucket);
  };

  return {
    candidates(tool, agent, targets) {
      begin();
      // A rule that names an environment matches a call that has none, if it denies or holds: so no cell may be skipped.
      // The same of a call whose agent nobody knows.
      const isVague =
        agent === null || targets.length === 0 || targets.some((target) => target.environment === "");
      const takeCells = (cells: Map<string, number[]> | undefined): void => {
        if (cells === undefined || agent === null) return;
        take(cells.get(ANY));
        take(cells.get(agent));
      };
      eachBucket(tool, ({ orders, cells }) => {
        if (cells === null || isVague) {
          take(orders);
          return;
        }
        takeCells(cells.get(ANY));
        for (const target of targets) takeCells(cells.get(target.environment));
      });
      return found;
    },
    forTool(tool) {
      begin();
      eachBucket(tool, ({ orders }) => take(orders));
      return found.toSorted((a, b) => a - b);
    },
  };
}

const newBucket = (): Bucket => ({ orders: [], cells: null });

function cellsOf(orders: readonly number[], rules: readonly Rule[]): Map<string, Map<string, number[]>> {
  const cells = new Map<string, Map<string, number[]>>();
  const names = (patterns: readonly string[] | null): readonly string[] =>
    patterns === null || patterns.some(isGlob) ? [ANY] : patterns;
  for (const order of orders) {
    const { match } = rules[order]!;
    for (const environment of names(match.environment)) {
      const row = getOrAdd(cells, environment, () => new Map<string, number[]>());
      for (const agent of names(match.agent)) getOrAdd(row, agent, () => []).push(order);
    }
  }
  return cells;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
