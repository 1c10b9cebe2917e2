import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSshKeyPair } from "../../src/base/ssh-signing-key.ts";
import type { OpenedHome } from "../../src/compose.ts";
import type { Settings } from "../../src/config/settings.ts";
import { settingsIn } from "../support/settings.ts";
import { SSHSIG_NAMESPACE, statementBytes } from "../../src/consent/statement.ts";
import { PEOPLE, policyText } from "../support/world.ts";
import { auditHome, type Audit } from "./audit.ts";
import { openCampaignHome } from "./gateway.ts";
import { startLoad, type Answered, type Load } from "./load.ts";

const RULES = `rules:
  - id: free
    match: { tool: write_note, environment: demo }
    verdict: allow
  - id: held
    match: { tool: write_note, environment: prod }
    verdict: hold
    because: a person looks
`;

export interface RoundParts {
  readonly program: string;
  readonly gateways: number;
  readonly callers: number;
  readonly random: () => number;
  /** Where the home lies; absent: a temporary directory. */
  readonly at?: string;
}

/** One home, its gateways, its clients and a person. */
export interface Round {
  readonly home: string;
  readonly load: Load;
  readonly answered: Answered;
  readonly approved: Set<string>;
  /** Ends what runs, lets the home recover and looks at it. `before` is called in between, with nothing running. */
  finish(before?: () => Promise<void>): Promise<Audit & { readonly answers: number }>;
}

export async function startRound(parts: RoundParts): Promise<Round> {
  const root = mkdtempSync(join(tmpdir(), "countersign-campaign-"));
  const home = join(parts.at ?? root, "home");
  mkdirSync(join(home, "data"), { recursive: true, mode: 0o700 });
  const world = join(root, "world");
  writeFileSync(world, "");
  const keys = Object.fromEntries(PEOPLE.map((id) => [id, createSshKeyPair(id)]));
  const settings = settingsIn(home, {
    hold: { ms: 50, clients: {}, rounds: 0, showPage: false },
    limits: {
      heldPerMinute: 1_000_000,
      readsPerMinute: 1_000_000,
      openRequests: 1_000_000,
      previewsPerHour: 1_000_000,
      previewsAtOnce: 64,
      minFreeBytes: 1_000_000,
    },
  });
  writeFileSync(settings.policyFile, policyText(keys, { rules: RULES }));
  const made = await openCampaignHome(settings, world, { create: true });
  await made.adoption.adoptFirst();
  await made.close();

  const answered: Answered = { statuses: new Map(), pending: new Set(), answers: 0 };
  const approved = new Set<string>();
  const load = startLoad({ ...parts, settings, world, answered });
  const person = startPerson({ settings, world, key: keys["ben"], answered, approved });
  return {
    home,
    load,
    answered,
    approved,
    async finish(before) {
      load.freeze();
      await Promise.all([load.stop(), person.stop()]);
      await before?.();
      const opened = await openCampaignHome(settings, world);
      try {
        const audit = await auditHome({ home: opened, world, statuses: answered.statuses, approved });
        const broken = [...audit.broken, ...load.complaints, ...person.complaints];
        return { ...audit, broken, answers: answered.answers };
      } finally {
        await opened.close();
        rmSync(root, { recursive: true, force: true });
      }
    },
  };
}

/** Ben approves what waits, with a handle on the home of his own, as the command line has one. */
function startPerson(parts: {
  readonly settings: Settings;
  readonly world: string;
  readonly key: ReturnType<typeof createSshKeyPair> | undefined;
  readonly answered: Answered;
  readonly approved: Set<string>;
}): { stop(): Promise<void>; readonly complaints: readonly string[] } {
  const complaints: string[] = [];
  let isOver = false;
  const approve = async (home: OpenedHome, request: string): Promise<void> => {
    const found = home.desk.find(request);
    const asked = { decision: "approve", person: "ben", reason: null, log: null } as const;
    const statement = await home.desk.draft(found.request, asked);
    const signature = parts.key?.sign(statementBytes(statement), SSHSIG_NAMESPACE) ?? "";
    const proof = { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const;
    const decided = await home.desk.decide(statement, proof);
    if (!isOver && decided.ok) parts.approved.add(request);
  };
  const run = async (): Promise<void> => {
    const home = await openCampaignHome(parts.settings, parts.world);
    try {
      while (!isOver) {
        const [request] = parts.answered.pending;
        if (request === undefined) {
          await sleep(20);
          continue;
        }
        parts.answered.pending.delete(request);
        // It may have ended meanwhile; then there is nothing to decide.
        await approve(home, request).catch(() => undefined);
      }
    } finally {
      await home.close().catch(() => undefined);
    }
  };
  const ended = run().catch((error: unknown) => {
    if (!isOver) complaints.push(`the person's handle: ${String(error)}`);
  });
  return {
    complaints,
    async stop() {
      isOver = true;
      await ended;
    },
  };
}
