import { join } from "node:path";
import {
  DEFAULT_LIMITS,
  DEFAULT_PASSKEYS,
  DEFAULT_SESSIONS,
  type Limits,
  type Settings,
} from "../../src/config/settings.ts";

/** Settings of a home in a temporary directory: free ports, no file of the operator, silent; `given` replaces. */
export const settingsIn = (
  home: string,
  { limits, ...given }: Partial<Omit<Settings, "limits">> & { readonly limits?: Partial<Limits> } = {},
): Settings => ({
  home,
  dataDir: join(home, "data"),
  configFile: null,
  policyFile: join(home, "policy.yaml"),
  isolation: "none",
  services: {},
  listeners: { mcp: { host: "127.0.0.1", port: 0 }, api: { host: "localhost", port: 0 } },
  stdio: { agent: null, principal: null },
  clients: [],
  api: { tokens: [], hosts: [] },
  passkeys: DEFAULT_PASSKEYS,
  sessions: DEFAULT_SESSIONS,
  oidc: null,
  oauth: null,
  retention: { recordsMs: null },
  hold: { ms: 1_000, clients: {}, rounds: 0, showPage: false },
  limits: { ...DEFAULT_LIMITS, ...limits },
  logLevel: "silent",
  ...given,
});
