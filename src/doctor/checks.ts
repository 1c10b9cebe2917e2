import type { Check } from "./check.ts";
import { checkDisk, checkLock } from "./disk.ts";
import { checkGateway, checkLeftovers, checkPorts } from "./gateway.ts";
import { checkConfiguration, checkHome, checkIsolation } from "./home.ts";
import { checkKeys } from "./keys.ts";
import { checkCheckpoint, checkClock, checkLog } from "./log.ts";
import { checkPermissions } from "./permissions.ts";
import { checkAgents, checkClauses, checkPeople, checkPolicy } from "./policy.ts";
import { checkPrograms } from "./programs.ts";
import { checkTokens } from "./tokens.ts";
import { checkWitnesses } from "./witnesses.ts";

/** Everything the doctor looks at, in this order. Tools bring their own: `toolChecks` of the command line's parts. */
export const CHECKS: readonly Check[] = [
  checkHome,
  checkConfiguration,
  checkPrograms,
  checkIsolation,
  checkPermissions,
  checkKeys,
  checkLog,
  checkCheckpoint,
  checkClock,
  checkWitnesses,
  checkPolicy,
  checkPeople,
  checkClauses,
  checkAgents,
  checkTokens,
  checkDisk,
  checkLock,
  checkGateway,
  checkPorts,
  checkLeftovers,
];
