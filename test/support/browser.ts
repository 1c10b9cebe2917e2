import { existsSync } from "node:fs";
import { chromium, type Browser, type CDPSession, type Page } from "playwright-core";
import { findProgram } from "./find-program.ts";

// A real Chromium, driven over its own protocol. It must reach nothing but loopback.

const NAMED = process.env["COUNTERSIGN_CHROMIUM"];
const EXECUTABLE = NAMED ?? findProgram("chromium");

/** Why there is no browser here; null where there is one. A failure where targets are required. */
export function missingBrowser(): string | null {
  if (EXECUTABLE !== null && existsSync(EXECUTABLE)) return null;
  const where = NAMED === undefined ? "" : ` at ${NAMED}`;
  const why = `no Chromium${where}: install it, or name it in COUNTERSIGN_CHROMIUM`;
  if (process.env["COUNTERSIGN_TARGETS"] === "required") throw new Error(why);
  return why;
}

/** Starts a browser; `args` are added to its command line. */
export const openBrowser = (args: readonly string[] = []): Promise<Browser> =>
  chromium.launch({
    executablePath: EXECUTABLE ?? "chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...args,
    ],
  });

export interface AuthenticatorOptions {
  /** Whether the person's finger, face or PIN is recognised. Default true. */
  readonly userVerified?: boolean;
  /** Whether the authenticator can verify its user at all. Default true. */
  readonly hasUserVerification?: boolean;
}

export interface Authenticator {
  readonly id: string;
  readonly cdp: CDPSession;
  /** From now on the person is, or is not, recognised. */
  setUserVerified(verified: boolean): Promise<void>;
  remove(): Promise<void>;
}

/** Gives a page an authenticator of its own: the browser's virtual one (CDP WebAuthn). */
export async function addAuthenticator(
  page: Page,
  options: AuthenticatorOptions = {},
): Promise<Authenticator> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId: id } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: options.hasUserVerification ?? true,
      isUserVerified: options.userVerified ?? true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    id,
    cdp,
    setUserVerified: (verified) =>
      cdp
        .send("WebAuthn.setUserVerified", { authenticatorId: id, isUserVerified: verified })
        .then(() => undefined),
    remove: () =>
      cdp.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: id }).then(() => undefined),
  };
}

/** What a page did that no page of ours may do: errors, refused loads, requests to elsewhere. */
export function watchPage(page: Page, origin: string): { readonly troubles: readonly string[] } {
  const troubles: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      troubles.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const { protocol } = new URL(request.url());
    if (protocol !== "data:" && !request.url().startsWith(`${origin}/`))
      troubles.push(`request: ${request.url()}`);
  });
  return { troubles };
}
