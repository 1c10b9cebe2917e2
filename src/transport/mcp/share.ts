/** How many requests each caller has open, so that nobody takes every connection there is. */
export interface Share {
  /** Null where there is no room; else what ends it, which may be called more than once. */
  take(who: string): (() => void) | null;
}

export function createShare(most: number): Share {
  const open = new Map<string, number>();
  return {
    take(who) {
      const count = open.get(who) ?? 0;
      if (count >= most) return null;
      open.set(who, count + 1);
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        const left = (open.get(who) ?? 1) - 1;
        if (left > 0) open.set(who, left);
        else open.delete(who);
      };
    },
  };
}
