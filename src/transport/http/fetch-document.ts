// What an identity provider publishes, fetched so that neither it nor anybody in between can make us do more than that:
// no redirect is followed, no credential is sent, and time and size have an end.

export interface DocumentLimits {
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

const DOCUMENT_LIMITS: DocumentLimits = { timeoutMs: 5_000, maxBytes: 256 * 1024 };

/** Why there is no document, in a word or two that may stand in an answer and a log. */
export class NoDocument extends Error {
  readonly status: number | null;
  constructor(message: string, status: number | null = null, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** The bytes of a document. @throws NoDocument */
async function fetchDocument(url: string, limits: DocumentLimits): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(limits.timeoutMs);
  try {
    const response = await fetch(url, {
      redirect: "manual",
      credentials: "omit",
      headers: { accept: "application/json" },
      signal,
    });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw new NoDocument(`answered ${response.status}`, response.status);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      // Leaving the loop cancels the rest.
      if (bytes > limits.maxBytes) throw new NoDocument(`is larger than ${limits.maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof NoDocument) throw error;
    throw new NoDocument(signal.aborted ? "took too long" : "can't be reached", null, error);
  }
}

/** A JSON object at a URL that the operator's configuration leads to. @throws NoDocument */
export async function fetchJsonObject(
  url: string,
  limits: DocumentLimits = DOCUMENT_LIMITS,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await fetchDocument(url, limits);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new NoDocument("is no JSON", null, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new NoDocument("is no JSON object");
  return value as Readonly<Record<string, unknown>>;
}
