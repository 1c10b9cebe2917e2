import { checkServices } from "../tools/deploy_service/doctor.ts";
import { checkWorkspaces } from "../tools/terraform/doctor.ts";
import type { LogTools } from "./cli/parts.ts";
import type { Check } from "./doctor/check.ts";
import { buildReceipt, formatReceipt, parseReceipt } from "./log/receipt.ts";
import { verifyLog, verifyReceipt } from "./log/verify.ts";
import { loadPolicy } from "./policy/load.ts";

// What looks at a home from outside: proofs, and what the doctor knows of the built-in tools. Apart from the rest of
// the program, so that a gateway does not load it.

export { verifyLog };

export const receiptOf: LogTools["buildReceipt"] = async (home, requestId) => {
  const receipt = await buildReceipt({
    store: home.store,
    requestId,
    withBlobs: true,
    adoptions: home.adoption.sequence(),
    credentials: home.credentials.entriesOf,
    rotations: home.store.rotations(),
    resolvePolicy(text) {
      const loaded = loadPolicy(new TextDecoder().decode(text), { file: "policy.yaml", tools: null });
      return loaded.ok ? loaded.value.document : null;
    },
  });
  return formatReceipt(receipt);
};

export const checkReceipt: LogTools["verifyReceipt"] = async (text, { key }) => {
  const parsed = parseReceipt(text);
  const own = parsed.ok ? parsed.value.log.key : null;
  // Without a key from elsewhere a receipt is checked against the one it carries, and the command says so.
  const trusted = key ?? own;
  const { ok, findings, summary } = verifyReceipt(text, { trustedKeys: trusted === null ? [] : [trusted] });
  return { ok, findings, summary, request: summary?.request ?? null, key: trusted };
};

export const toolChecks: readonly Check[] = [checkServices, checkWorkspaces];
