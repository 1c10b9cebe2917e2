import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

// The person behind the gateway that the suite talks to: Ben, with an SSH key and the API. He approves what waits; of a
// deletion he first asks the agent whether it is sure. Work of a minute he leaves alone: the suite cancels it.

const run = promisify(execFile);

export interface Approver {
  readonly fingerprint: string;
  /** Answers whatever waits until it is stopped. */
  attend(gateway: { readonly api: string; readonly token: string }): void;
  stop(): Promise<void>;
}

interface Listed {
  readonly id: string;
}
interface Shown {
  readonly view: { readonly tool: string; readonly arguments: string } | null;
  readonly inquiries: readonly { readonly answer: unknown }[];
}

/** What he asks before he approves. */
const QUESTIONS: Readonly<Record<string, readonly string[]>> = {
  confirm_delete: ["are you sure?"],
  multi_input: ["who are you?", "are you sure?"],
};
const TOO_LONG_SECONDS = 10;
const LOOK_EVERY_MS = 100;

/** `countersign` runs the command line in the home. */
export function createApprover(
  folder: string,
  countersign: (...words: string[]) => Promise<unknown>,
): Approver {
  const key = join(folder, "ben");
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "ben", "-f", key]);
  const said = execFileSync("ssh-keygen", ["-lf", `${key}.pub`]).toString();
  const stopped = new AbortController();
  const asked = new Map<string, Promise<unknown>>();
  let attending: Promise<void> = Promise.resolve();

  const answer = async (
    api: (path: string, body?: object) => Promise<unknown>,
    id: string,
  ): Promise<void> => {
    const { view, inquiries } = (await api(`/requests/${id}`)) as Shown;
    if (view === null) return;
    const { seconds = 0 } = JSON.parse(view.arguments) as { readonly seconds?: number };
    if (seconds >= TOO_LONG_SECONDS) return;
    const questions = QUESTIONS[view.tool] ?? [];
    if (questions.length > 0 && !asked.has(id)) {
      asked.set(id, Promise.all(questions.map((words) => countersign("ask", id, words, "--as", "ben"))));
    }
    const isAnswered = inquiries.length === questions.length && inquiries.every((one) => one.answer !== null);
    if (!isAnswered) return;
    const drafted = (await api(`/requests/${id}/draft?person=ben&decision=approve`)) as {
      readonly statement: object;
      readonly sign: { readonly namespace: string; readonly bytes: string };
    };
    const signing = run("ssh-keygen", ["-Y", "sign", "-q", "-f", key, "-n", drafted.sign.namespace]);
    signing.child.stdin?.end(Buffer.from(drafted.sign.bytes, "base64"));
    const { stdout: signature } = await signing;
    await api(`/requests/${id}/decisions`, {
      statement: drafted.statement,
      proof: { kind: "sshsig", signature },
    });
  };

  return {
    fingerprint: /SHA256:\S+/.exec(said)?.[0] ?? said,
    attend({ api, token }) {
      const ask = async (path: string, body?: object): Promise<unknown> => {
        const response = await fetch(`${api}/api/v1${path}`, {
          method: body === undefined ? "GET" : "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
        return response.json();
      };
      attending = (async () => {
        while (!stopped.signal.aborted) {
          const { requests } = (await ask("/requests?phase=held&limit=100")) as {
            readonly requests: Listed[];
          };
          // One that was withdrawn a moment ago can't be answered any more.
          await Promise.allSettled(requests.map(({ id }) => answer(ask, id)));
          await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
        }
      })();
      attending.catch((error: unknown) => process.stderr.write(`approver: ${String(error)}\n`));
    },
    async stop() {
      stopped.abort();
      await Promise.allSettled([attending, ...asked.values()]);
    },
  };
}
