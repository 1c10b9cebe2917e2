import { connect } from "node:net";
import { expect, test } from "vitest";
import { listen, type Listening } from "../../../src/transport/http/listen.ts";
import { rawHttp, rawTcp } from "../../support/raw-http.ts";

const open = (host: string, port = 0): Promise<Listening> =>
  listen({
    host,
    port,
    what: "test listener",
    setting: "listeners.test",
    timeouts: { headersMs: 200, requestMs: 400 },
    handle: (request, response) => {
      request.resume();
      request.on("end", () => response.end(request.url));
    },
  });

test("a client that sends its headers or its body too slowly is cut off", async () => {
  const listening = await open("127.0.0.1");
  const began = performance.now();
  const slow = await Promise.all([
    rawTcp(listening.port, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow"),
    rawTcp(listening.port, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"),
  ]);
  for (const text of slow) expect(text).toMatch(/^(HTTP\/1.1 4\d\d|$)/);
  expect(performance.now() - began).toBeLessThan(3_000);
  await listening.close(0);
});

test("localhost opens every loopback address on one port, so that nobody else can take one", async () => {
  const listening = await open("localhost");
  const hasIpv6 = await new Promise<boolean>((resolve) => {
    const socket = connect(listening.port, "::1", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
  expect((await rawHttp({ port: listening.port, path: "/four", method: "GET" })).text).toBe("/four");
  if (hasIpv6) {
    const six = await rawHttp({ port: listening.port, host: "::1", path: "/six", method: "GET" });
    expect(six.text).toBe("/six");
    await expect(open("::1", listening.port)).rejects.toMatchObject({ code: "LISTEN_FAILED" });
  }
  await expect(open("127.0.0.1", listening.port)).rejects.toMatchObject({ code: "LISTEN_FAILED" });
  await listening.close(0);
});

test("closing does not wait for clients that keep their connection open", async () => {
  const listening = await open("127.0.0.1");
  const socket = connect(listening.port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  const began = performance.now();
  await listening.close(5_000);
  expect(performance.now() - began).toBeLessThan(1_000);
  socket.destroy();
});

test("closing lets an answer that is under way go out on a kept connection, and then closes that", async () => {
  let finish = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const listening = await listen({
    host: "127.0.0.1",
    port: 0,
    what: "test listener",
    setting: "listeners.test",
    handle: (_request, response) => void asked.then(() => response.end("answered")),
  });
  const socket = connect(listening.port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => (text += String(chunk)));
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  const closed = listening.close(10_000);
  setTimeout(finish, 100);
  await Promise.all([closed, ended]);
  expect(text).toContain("answered");
  expect(performance.now() - began).toBeLessThan(2_000);
});
