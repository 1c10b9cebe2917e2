// `Idempotency-Key`: a decision that is sent again with the same key gets the answer of the first time, so that an
// answer lost on the way does not come back as "you have decided already". Memory only: what a decision does is
// idempotent by itself, per person and question; this is about the words.

export interface Replays<A> {
  /** `content` is what the key was used for; another content under a known key is `"reused"`. */
  run(key: string, content: string, work: () => Promise<A>): Promise<A | "reused">;
}

export function createReplays<A>(worthKeeping: (answer: A) => boolean, limit = 500): Replays<A> {
  const known = new Map<string, { readonly content: string; readonly answer: Promise<A> }>();
  return {
    async run(key, content, work) {
      const earlier = known.get(key);
      if (earlier !== undefined) return earlier.content === content ? earlier.answer : "reused";
      const answer = work();
      known.set(key, { content, answer });
      for (const oldest of known.keys()) {
        if (known.size <= limit) break;
        known.delete(oldest);
      }
      try {
        const done = await answer;
        if (!worthKeeping(done)) known.delete(key);
        return done;
      } catch (error) {
        known.delete(key);
        throw error;
      }
    },
  };
}
