import { join } from "node:path";
import type { Logger } from "pino";
import { cachedFor } from "./base/cached-for.ts";
import { canonicalJson, type JsonObject } from "./base/canonical-json.ts";
import { systemClock, type Clock } from "./base/clock.ts";
import { isId } from "./base/id.ts";
import { mapErr, type Result } from "./base/result.ts";
import { verifySshSignature } from "./base/sshsig.ts";
import { formatSourceError } from "./base/yaml.ts";
import { CountersignError } from "./errors.ts";
import { operationsLog } from "./config/operations-log.ts";
import { readProposed } from "./config/read-proposed.ts";
import type { Settings } from "./config/settings.ts";
import type { SignatureFacts } from "./consent/assurance.ts";
import { createAttest } from "./consent/attest.ts";
import { expectsOf } from "./consent/credentials.ts";
import type { Consent } from "./consent/consents.ts";
import { createCredentialDesk } from "./consent/create-credential-desk.ts";
import { createDesk } from "./consent/create-desk.ts";
import { createCredentialNonces } from "./consent/credential-nonce.ts";
import { thisOwner } from "./execution/owner.ts";
import { createWorkContexts, removeOldWork } from "./execution/work-context.ts";
import { createAdoption, type AdoptionDesk } from "./gate/adoption.ts";
import { createAgain } from "./gate/again.ts";
import { createAttend } from "./gate/attend.ts";
import { createDeadlines, watchDeadlines } from "./gate/deadlines.ts";
import { reasoningForView } from "./gate/evidence.ts";
import { createGate } from "./gate/gate.ts";
import type { Home } from "./gate/home.ts";
import { createLimiter } from "./gate/limits.ts";
import { createMasker } from "./gate/masker.ts";
import type { GateParts } from "./gate/parts.ts";
import { readView } from "./gate/read-view.ts";
import { createRecords } from "./gate/records.ts";
import { createRegimeHolder } from "./gate/regime.ts";
import { createReplay } from "./gate/replay.ts";
import { createRequestReader } from "./gate/request-reader.ts";
import { createRetention } from "./gate/retention.ts";
import { createSettlement } from "./gate/settle.ts";
import { createHomeFold, type HomeFold } from "./gate/state.ts";
import { startSteward, type Steward } from "./gate/steward.ts";
import { createStoryteller } from "./gate/story.ts";
import { createTraces } from "./gate/traces.ts";
import { createWakeups } from "./gate/wakeups.ts";
import { wireExecution } from "./gate/wire-execution.ts";
import { createCheckpointSigner } from "./log/checkpoint.ts";
import { diffPolicies } from "./policy/diff.ts";
import { loadPolicy } from "./policy/load.ts";
import type { Policy, ToolFacts } from "./policy/policy.ts";
import { assembleView } from "./preview/assemble.ts";
import { createPreviewer } from "./preview/preview.ts";
import { keyOfRequester } from "./request/requests.ts";
import { openEmbeddedStore, type EmbeddedStore } from "./store/embedded/embedded-store.ts";
import { openEnrolmentTries } from "./store/embedded/enrolment-tries.ts";
import { isStewardAlive, tryStewardLock } from "./store/embedded/lock.ts";
import { maskKey } from "./store/embedded/home-key.ts";
import type { Tool } from "./tool.ts";

// Wires the parts of a home. Nothing here decides anything.

export interface OpenOptions {
  readonly version: string;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Make the log of a new home; its policy is adopted with `adoptFirst`. */
  readonly create?: boolean;
  /** The tools over the adopted registrations. */
  readonly makeTools: (
    registrations: JsonObject,
    dataDir: string,
  ) => readonly Tool[] | Promise<readonly Tool[]>;
  /** The registrations as the operator's file has them now: `{ services: … }`, resolved. */
  readonly readRegistrations: (settings: Settings) => Promise<Result<JsonObject, readonly string[]>>;
  /** What tools want tidied now and then, by the steward. */
  readonly tidyTools?: (registrations: JsonObject, dataDir: string) => Promise<void>;
  /** Ends what tools keep open: connections to servers that are fronted. */
  readonly closeTools?: () => Promise<void>;
  /** Called once when the store can't be trusted to write any more: stop the process. */
  readonly onFault?: (fault: CountersignError) => void;
}

/** A home with the handles that only its own process uses. */
export interface OpenedHome extends Home {
  readonly adoption: AdoptionDesk;
  readonly fold: HomeFold;
  readonly store: EmbeddedStore;
  /** Does what a steward has to do now, without waiting for its timer; nothing where this process is none. */
  stewardRound(): Promise<void>;
}

/**
 * Opens a home. It reads, decides and appends; it becomes the steward only when asked to.
 * @throws CountersignError what opening the store throws, `POLICY_INVALID`, `HOME_INSECURE`
 */
export async function openHome(settings: Settings, options: OpenOptions): Promise<OpenedHome> {
  const { dataDir, isolation, limits } = settings;
  const clock = options.clock ?? systemClock;
  const log = options.log ?? operationsLog(settings);
  const keysDir = join(dataDir, "keys");
  const fold = createHomeFold();
  const { state } = fold;
  const store = await openEmbeddedStore({
    dir: dataDir,
    blobsDir: join(dataDir, "blobs"),
    keysDir,
    fold,
    clock,
    isolation,
    release: options.version,
    signer: (key, stated) =>
      createCheckpointSigner({ key: key.privateKeyPem, logId: key.logId, isolation: stated }),
    ...(options.create === true ? { create: { version: options.version } } : {}),
    onFault(fault) {
      log.fatal({ err: fault }, "the log can no longer be trusted to be written; the gate is closed");
      options.onFault?.(fault);
    },
  });
  const secret = await maskKey(keysDir);
  const mask = createMasker(secret);
  const makeTools = (registrations: JsonObject): ReturnType<OpenOptions["makeTools"]> =>
    options.makeTools(registrations, dataDir);
  const load = (text: string, tools: readonly ToolFacts[]): Result<Policy, readonly string[]> =>
    mapErr(loadPolicy(text, { file: settings.policyFile, tools }), (errors) => errors.map(formatSourceError));

  const regime = createRegimeHolder({
    state: state.adopted,
    blobs: store.blobs,
    loadPolicy: load,
    makeTools,
  });
  await regime.refresh();
  const catchUp = async (): Promise<void> => {
    await store.catchUp();
    await regime.refresh();
  };
  const wakeups = createWakeups();
  const deadlines = createDeadlines(clock);
  const isPastDeadline = (consent: Consent): boolean =>
    deadlines.isPast("consent", consent.request, consent.deadline);
  for (const consent of state.consents.byRequest.values()) {
    deadlines.watch("consent", consent.request, consent.deadline);
  }
  for (const execution of state.executions.open.values()) {
    deadlines.watch("grant", execution.request, execution.executeBy);
  }
  const unfollow = store.follow((entries) => {
    for (const entry of entries) {
      if (!isId("req", entry.subject)) continue;
      watchDeadlines(deadlines, state, entry.subject);
      wakeups.wake(entry.subject);
    }
  });
  const clockIsBehind = (): boolean => clock.now() < fold.newestTime - CLOCK_BEHIND_MS;

  const attest = createAttest({
    now: () => clock.now(),
    verifySignature,
    credential: (id) => state.credentials.byId.get(id) ?? null,
    origins: () => credentials.rp.origins(),
  });
  const credentials = createCredentialDesk({
    clock,
    state: state.credentials,
    log: store.logId,
    settings: settings.passkeys,
    signInByProvider: settings.oidc !== null,
    defaultOrigin: `http://localhost:${settings.listeners.api.port}`,
    policy: () => regime.current().policy,
    policySeq: () => regime.expects(regime.current()),
    isHeld: (key) => fold.holder(key, clock.now()) !== null,
    catchUp,
    append: store.append,
    follow: store.follow,
    attest,
    nonces: createCredentialNonces(secret),
    tries: await openEnrolmentTries(join(dataDir, "enrolment-tries.json")),
  });
  const adoption = createAdoption({
    clock,
    state: state.adopted,
    store,
    regime,
    catchUp,
    makeTools,
    loadPolicy: load,
    diff: (from, to) => diffPolicies({ document: from }, { document: to }),
    attest,
    expectsOf: (proof) => expectsOf(state.credentials, proof),
    async readFiles() {
      return {
        policy: await readProposed(settings.policyFile),
        registrations: await options.readRegistrations(settings),
      };
    },
  });

  const workRoot = join(dataDir, "work");
  const previewer = createPreviewer({ clock, limits, workRoot, creds: noCredentials, log });

  const owner = thisOwner(clock.now());
  const traces = createTraces();
  let steward: { readonly running: Steward; release(): void } | null = null;
  const hasSteward = async (): Promise<boolean> => steward !== null || (await isStewardAlive(dataDir));
  const { executor, reader, recovery, leases } = wireExecution({
    ...{ clock, owner, state, store, regime, log, mask, deadlines, clockIsBehind },
    catchUp,
    hasSteward,
    context: createWorkContexts({
      clock,
      workRoot,
      creds: noCredentials,
      log,
      traceOf: traces.of,
      ...limits,
    }),
  });

  const gateParts: GateParts = {
    clock,
    store,
    state,
    holder: (key, now) => fold.holder(key, now),
    regime,
    executor,
    reader,
    owner,
    limits,
    limiter: createLimiter(clock, limits),
    wakeups,
    mask,
    secret,
    isolation,
    log,
    preview: (received, progress) =>
      previewer.run(received.tool, received.input, {
        requestId: received.id,
        principal: keyOfRequester(received.requester),
        // A caller that goes away does not end the preview: a re-sent call then finds it done.
        signal: new AbortController().signal,
        progress,
      }),
    view: ({ received, toolView, rules, maskKeys }) =>
      assembleView({
        tool: received.tool.name,
        effect: received.tool.effect(received.input),
        targets: received.targets,
        maskedArguments: canonicalJson(mask.json(received.input, maskKeys)),
        toolView,
        rules,
        reasoning: reasoningForView(mask, received.reasoning),
        isolation,
      }),
    freeBytes: cachedFor(1_000, clock, () => store.freeBytes()),
    clockIsBehind,
    deadlines,
    traces,
    strongestProof: credentials.strongest,
    hasSteward,
  };
  const attend = createAttend(gateParts);
  const { gate, again: askAgain } = createGate(gateParts, attend);
  const again = createAgain(gateParts, askAgain, () => steward !== null);
  const settlement = createSettlement({ ...gateParts, attest, again, catchUp });

  const records = createRecords({ state, store, maskText: (text) => mask.text(text) });
  const replay = createReplay({
    store,
    adoptions: () => state.adopted.adoptions,
    // As text alone: the tools of then are not there to check conditions against, and change no verdict.
    load: (text) =>
      mapErr(loadPolicy(text, { file: "policy.yaml", tools: null }), (errors) =>
        errors.map(formatSourceError),
      ),
  });

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    await steward?.running.stop();
    // What was sent must not lose its outcome because we stop; it has its own deadline.
    await attend.idle();
    await options.closeTools?.();
    unfollow();
    await store.close();
    steward?.release();
  };

  return {
    settings,
    log,
    store,
    fold,
    get tools() {
      return [...regime.current().tools.values()];
    },
    gate,
    adoption,
    credentials,
    desk: createDesk({
      clock,
      state,
      policy: () => regime.current().policy,
      policySeq: () => regime.expects(regime.current()),
      catchUp,
      append: store.append,
      view: (request) => readView(state, store, request),
      attest,
      maskText: (text) => mask.text(text),
      clockIsBehind,
      isPastDeadline,
    }),
    requests: createRequestReader({ state, store }),
    replay,
    records,
    explain: createStoryteller({ store, state, records, replay }),
    hasSteward,
    async startSteward() {
      if (steward !== null) return true;
      const lock = await tryStewardLock(dataDir);
      if (lock === null) return false;
      if (closing !== null) {
        lock.release();
        return false;
      }
      const running = startSteward({
        ...gateParts,
        recovery,
        leases,
        attend,
        retention: createRetention({
          ...{ clock, state, store, log, clockIsBehind },
          recordsMs: settings.retention.recordsMs,
        }),
        again,
        async checkFiles() {
          const seen = await adoption.checkFiles();
          if (seen !== "unchanged") log.info({ files: seen }, "policy or registrations changed on disk");
        },
        writeSnapshot: () => store.writeSnapshot(),
        async tidyTools() {
          await removeOldWork(workRoot, clock.now());
          await options.tidyTools?.(regime.current().registrations, dataDir);
        },
        sealedRequests: (isAmong) => store.blobs.sealedRequests(isAmong),
      });
      steward = { running, release: () => lock.release() };
      await running.tick();
      return true;
    },
    async stewardRound() {
      await steward?.running.tick();
    },
    draftSettlement: settlement.draft,
    settle: settlement.settle,
    async resolveUnknown(request, outcome, person, message) {
      await catchUp();
      if (await recovery.resolve(request, outcome, person, message)) return;
      throw new CountersignError("REQUEST_NOT_FOUND", `${request} has no unknown outcome to settle`, {
        hint: "see where it stands: countersign show <request>",
      });
    },
    rotateLogKey: () => store.rotateKey(state.adopted.current?.revision ?? null),
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** Wall clock further behind the newest entry than this: no new grant or claim (design §11, Clock). */
const CLOCK_BEHIND_MS = 5_000;

function verifySignature(armoured: string, message: Uint8Array, namespace: string): SignatureFacts | null {
  const verified = verifySshSignature({ armoured, message, namespace });
  return verified.ok ? { fingerprint: verified.value.fingerprint, sk: verified.value.sk } : null;
}

/** Credentials come with the tools that need them; deploy_service on a local repository needs none. */
const noCredentials = (name: string): Promise<string> =>
  Promise.reject(new CountersignError("CONFIG_INVALID", `no credential named "${name}" is configured`));
