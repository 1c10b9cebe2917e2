import { startAuthentication, startRegistration } from "@simplewebauthn/browser";
import { taggedBytes } from "../../base/canonical-json.ts";
import { call, problemWords } from "./call.ts";

// Ceremonies with the person's authenticator. Loaded only when one is wanted.
//
// WebAuthn shows nothing of what is signed, so the hash is computed here, from the statement that the page shows: a
// server that asks for a signature over anything else is refused before the authenticator is asked.

type RequestOptions = Parameters<typeof startAuthentication>[0]["optionsJSON"];
type CreationOptions = Parameters<typeof startRegistration>[0]["optionsJSON"];

/** A statement as the API drafts it, with what is to be signed. */
export interface SignableDraft {
  readonly statement: unknown;
  readonly sign: { readonly bytes?: string; readonly challenge: string };
}

/** The proof as the API takes it. */
export interface PasskeyProof {
  readonly kind: "webauthn";
  readonly credential: string;
  readonly authenticator_data: string;
  readonly client_data: string;
  readonly signature: string;
}

/** Opens a session with a passkey of this device. */
export async function signIn(): Promise<void> {
  const optionsJSON = await ask<RequestOptions>("/session/passkey/options", {});
  const { id, response } = await startAuthentication({ optionsJSON });
  const { authenticatorData, clientDataJSON, signature, userHandle } = response;
  await ask("/session/passkey", {
    id,
    response: {
      authenticatorData,
      clientDataJSON,
      signature,
      ...(userHandle === undefined ? {} : { userHandle }),
    },
  });
}

type Enrolment =
  | { readonly state: "enrolled" }
  | (SignableDraft & {
      readonly state: "sign";
      readonly pending: string;
      /** Passkeys of the person that may vouch for the new one. */
      readonly credentials: readonly string[];
    });

/**
 * Makes a passkey: with a one-time code, which signs in as well; or, code null, beside one of the person who is signed
 * in, which then has to sign for the new one.
 */
export async function enrol(code: string | null, label: string): Promise<void> {
  const given = code === null ? {} : { code };
  const optionsJSON = await ask<CreationOptions>("/enrolment/options", { ...given, label });
  const response = await startRegistration({ optionsJSON });
  const answer = await ask<Enrolment>("/enrolment", { ...given, label, response });
  if (answer.state === "enrolled") return;
  const { statement, pending, credentials } = answer;
  if ((statement as { credential?: unknown }).credential !== response.id) {
    throw new Error(
      "The gateway asks to sign for another passkey than the one just made. Nothing was signed.",
    );
  }
  if (credentials.length === 0) {
    throw new Error(
      "None of your passkeys counts yet, so none can sign for a new one. Ask an admin for a code.",
    );
  }
  const proof = await sign(answer, credentials);
  await ask("/enrolment", { pending, statement, proof });
}

/**
 * The answer of a passkey over exactly this statement.
 * @throws Error, in words for the person, where the gateway's challenge is not the hash of the statement shown
 */
export async function sign(draft: SignableDraft, allowed: readonly string[] = []): Promise<PasskeyProof> {
  const challenge = await challengeOf(draft.statement);
  if (challenge === null || challenge !== draft.sign.challenge) {
    throw new Error("What would be signed is not the statement on this page. Nothing was signed.");
  }
  const { id, response } = await startAuthentication({
    optionsJSON: {
      challenge,
      rpId: relyingParty(),
      userVerification: "required",
      ...(allowed.length === 0
        ? {}
        : { allowCredentials: allowed.map((one) => ({ id: one, type: "public-key" })) }),
    },
  });
  return {
    kind: "webauthn",
    credential: id,
    authenticator_data: response.authenticatorData,
    client_data: response.clientDataJSON,
    signature: response.signature,
  };
}

/** SHA-256, base64url, of the bytes that a key signs: the statement's type and version, then its RFC 8785 text. */
export async function challengeOf(statement: unknown): Promise<string | null> {
  const { typ, v } = (statement ?? {}) as { readonly typ?: unknown; readonly v?: unknown };
  if (typeof typ !== "string" || !/^countersign\.[a-z]+$/.test(typ) || typeof v !== "number") return null;
  const bytes = taggedBytes(`${typ}.v${v}`, statement);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
  const text = btoa([...hash].map((byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The relying party: what the page says, else its own host. A browser allows none that is not the page's. */
const relyingParty = (): string =>
  document.querySelector<HTMLMetaElement>('meta[name="rp-id"]')?.content ?? location.hostname;

async function ask<T>(path: string, body: unknown): Promise<T> {
  const answer = await call<T>("POST", path, body);
  if (answer.ok) return answer.value;
  throw new Error(problemWords(answer.problem));
}
