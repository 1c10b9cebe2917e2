import { startAuthentication, startRegistration } from "@simplewebauthn/browser";
import { call, problemWords } from "./call.ts";

// Ceremonies with the person's authenticator. Loaded only when one is wanted.

type RequestOptions = Parameters<typeof startAuthentication>[0]["optionsJSON"];
type CreationOptions = Parameters<typeof startRegistration>[0]["optionsJSON"];

/** Opens a session with a passkey of this device. */
export async function signIn(): Promise<void> {
  const optionsJSON = await ask<RequestOptions>("/session/passkey/options", {});
  await ask("/session/passkey", await startAuthentication({ optionsJSON }));
}

/** Makes a passkey: with a one-time code, or, code null, beside one of the person who is signed in. */
export async function enrol(code: string | null, label: string): Promise<void> {
  const given = code === null ? {} : { code };
  const optionsJSON = await ask<CreationOptions>("/enrolment/options", { ...given, label });
  const response = await startRegistration({ optionsJSON });
  await ask("/enrolment", { ...given, label, response });
}

/** The assertion over a drafted statement: its challenge is the hash of the statement's bytes. */
export async function sign(draft: { readonly sign: { readonly challenge: string } }): Promise<unknown> {
  const { id, response } = await startAuthentication({
    optionsJSON: { challenge: draft.sign.challenge, rpId: location.hostname, userVerification: "required" },
  });
  return {
    kind: "webauthn",
    credential: id,
    authenticator_data: response.authenticatorData,
    client_data: response.clientDataJSON,
    signature: response.signature,
  };
}

async function ask<T>(path: string, body: unknown): Promise<T> {
  const answer = await call<T>("POST", path, body);
  if (answer.ok) return answer.value;
  throw new Error(problemWords(answer.problem));
}
