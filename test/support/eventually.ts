/** Asks until there is an answer, for 20 s. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  const until = Date.now() + 20_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > until) throw new Error("did not happen within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
