import { expect, test } from "vitest";
import { digestBytes } from "../../src/base/digest.ts";
import { isFault } from "../../src/errors.ts";
import type { Store } from "../../src/store/store.ts";
import { requestAt } from "../support/drafts.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const missing = (error: unknown): boolean => isFault(error, "BLOB_MISSING");
const corrupt = (error: unknown): boolean => isFault(error, "BLOB_CORRUPT");

/** What every store's documents keep; part of the store suite. */
export function blobSuite(store: () => Store, openAnother: () => Promise<{ store: Store }>): void {
  const put = async (text: string, sealFor?: ReturnType<typeof requestAt>) => {
    const [ref] = await store().blobs.put([
      { tag: "view", bytes: bytes(text), type: "text/plain", ...(sealFor === undefined ? {} : { sealFor }) },
    ]);
    if (ref === undefined) throw new Error("no reference");
    return ref;
  };

  test("a document reads back under its digest, from any process", async () => {
    const ref = await put("what people were shown");
    expect(ref).toMatchObject({ bytes: 22, type: "text/plain" });
    const other = await openAnother();
    for (const { blobs } of [store(), other.store]) {
      const read = await blobs.get("view", ref);
      expect(Buffer.from(read).toString()).toBe("what people were shown");
      expect(digestBytes("view", read, await blobs.salt(ref))).toBe(ref.digest);
    }
  });

  test("a document that was placed can be read at once, from any process, and is then made durable", async () => {
    const request = requestAt(4);
    const wanted = [
      { tag: "view", bytes: bytes("seen"), type: "text/plain" },
      { tag: "plan", bytes: bytes("sealed"), type: "text/plain", sealFor: request },
    ] as const;
    const { refs, durable } = await store().blobs.place(wanted);
    const other = await openAnother();
    for (const [i, { tag, bytes: expected }] of wanted.entries()) {
      const read = await other.store.blobs.get(tag, refs[i] as never, i === 1 ? request : undefined);
      expect(Buffer.from(read).equals(Buffer.from(expected))).toBe(true);
    }
    await durable;
    expect(await store().blobs.sealedRequests()).toContain(request);
  });

  test("equal documents have different digests, because each has its own salt", async () => {
    expect((await put("same")).digest).not.toBe((await put("same")).digest);
  });

  test("an empty and a large document are kept, many at once", async () => {
    const large = Buffer.alloc(3 * 1024 * 1024, 7);
    const refs = await store().blobs.put([
      { tag: "file", bytes: new Uint8Array(0), type: "application/octet-stream" },
      { tag: "file", bytes: large, type: "application/octet-stream" },
      ...Array.from({ length: 40 }, (_, i) => ({
        tag: "file" as const,
        bytes: bytes(`${i}`),
        type: "text/plain",
      })),
    ]);
    expect((await store().blobs.get("file", refs[0] as never)).length).toBe(0);
    expect(Buffer.from(await store().blobs.get("file", refs[1] as never)).equals(large)).toBe(true);
    expect(Buffer.from(await store().blobs.get("file", refs[41] as never)).toString()).toBe("39");
  });

  test("a document passed off as another kind is refused (D1)", async () => {
    const ref = await put("a view");
    await expect(store().blobs.get("plan", ref)).rejects.toSatisfy(corrupt);
  });

  test("an erased document is gone, and erasing it again is no error", async () => {
    const ref = await put("secret in a prompt");
    await store().blobs.erase(ref);
    await store().blobs.erase(ref);
    await expect(store().blobs.get("view", ref)).rejects.toSatisfy(missing);
  });

  test("record documents are erased together, those that were gone already included, and no others", async () => {
    const [first, second, other] = [await put("a"), await put("b"), await put("c")];
    await store().blobs.erase(first);
    await store().blobs.eraseRecords([first, second]);
    await store().blobs.eraseRecords([first, second]);
    await store().blobs.eraseRecords([]);
    const another = await openAnother();
    for (const { blobs } of [store(), another.store]) {
      for (const ref of [first, second]) await expect(blobs.get("view", ref)).rejects.toSatisfy(missing);
      expect(Buffer.from(await blobs.get("view", other)).toString()).toBe("c");
    }
  });

  test("sealed documents of a request read back, and are gone together once its key is erased", async () => {
    const [request, other] = [requestAt(1), requestAt(2)];
    const [mine, alsoMine, theirs] = [
      await put("a", request),
      await put("b", request),
      await put("c", other),
    ];
    expect(Buffer.from(await store().blobs.get("view", mine, request)).toString()).toBe("a");
    await store().blobs.eraseSealed(request);
    await store().blobs.eraseSealed(request);
    for (const ref of [mine, alsoMine]) {
      await expect(store().blobs.get("view", ref, request)).rejects.toSatisfy(missing);
    }
    expect(Buffer.from(await store().blobs.get("view", theirs, other)).toString()).toBe("c");
  });

  test("a sealed document cannot be read as another request's or as a record", async () => {
    const [request, other] = [requestAt(1), requestAt(2)];
    const ref = await put("plan", request);
    await put("something", other);
    await expect(store().blobs.get("view", ref, other)).rejects.toSatisfy(missing);
    await expect(store().blobs.get("view", ref)).rejects.toSatisfy(missing);
  });

  test("two processes that seal for one request at once use one key", async () => {
    const request = requestAt(3);
    const other = await openAnother();
    const refs = await Promise.all(
      [store(), other.store, store(), other.store].map((one, i) =>
        one.blobs.put([{ tag: "undo", bytes: bytes(`${i}`), type: "text/plain", sealFor: request }]),
      ),
    );
    for (const [i, [ref]] of refs.entries()) {
      const read = await store().blobs.get("undo", ref as never, request);
      expect(Buffer.from(read).toString()).toBe(`${i}`);
    }
  });

  test("a reference that is no digest, or a request that is no id, points nowhere", async () => {
    const ref = { digest: "sha256:../../keys/log.key" as never, bytes: 1, type: "text/plain" };
    await expect(store().blobs.get("view", ref)).rejects.toSatisfy(missing);
    await expect(put("x", "req_../../x" as never)).rejects.toSatisfy(missing);
    await expect(store().blobs.eraseSealed("../log" as never)).rejects.toSatisfy(missing);
  });
}
