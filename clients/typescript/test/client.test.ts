/** What is TypeScript's own; the vectors of clients/conformance say how calls go. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  assistant,
  Client,
  type GenerateRequest,
  GenerateRequestSchema,
  type GenerateResponse,
  GenerateResponseSchema,
  Role,
  SidecardError,
  type StreamGenerateResponse,
  StreamGenerateResponseSchema,
  toolResult,
  user,
} from "../src/index.js";

const server = new grpc.Server();
let client: Client;
let left: Promise<unknown> = Promise.resolve();

/** Answers with the prompt. */
function generate(
  call: grpc.ServerUnaryCall<GenerateRequest, GenerateResponse>,
  answer: grpc.sendUnaryData<GenerateResponse>,
): void {
  answer(null, create(GenerateResponseSchema, { text: call.request.prompt }));
}

/** Streams the prompt letter by letter, and then nothing until the caller leaves. */
function stream(call: grpc.ServerWritableStream<GenerateRequest, StreamGenerateResponse>): void {
  left = once(call, "cancelled");
  const letters = [...call.request.prompt].map((letter) => ({
    event: { case: "textDelta" as const, value: letter },
  }));
  const text = { block: { case: "text" as const, value: {} } };
  const events = [{ event: { case: "blockStarted" as const, value: text } }, ...letters];
  call.write(create(StreamGenerateResponseSchema, { events }));
}

function bound(credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

before(async () => {
  const common = {
    requestStream: false,
    requestSerialize: (m: GenerateRequest) => Buffer.from(toBinary(GenerateRequestSchema, m)),
    requestDeserialize: (bytes: Buffer) => fromBinary(GenerateRequestSchema, bytes),
  };
  const service = {
    generate: {
      ...common,
      path: "/sidecard.v1.GenerationService/Generate",
      responseStream: false,
      responseSerialize: (m: GenerateResponse) => Buffer.from(toBinary(GenerateResponseSchema, m)),
      responseDeserialize: (bytes: Buffer) => fromBinary(GenerateResponseSchema, bytes),
    },
    stream: {
      ...common,
      path: "/sidecard.v1.GenerationService/StreamGenerate",
      responseStream: true,
      responseSerialize: (m: StreamGenerateResponse) =>
        Buffer.from(toBinary(StreamGenerateResponseSchema, m)),
      responseDeserialize: (bytes: Buffer) => fromBinary(StreamGenerateResponseSchema, bytes),
    },
  };
  server.addService(service, { generate, stream });
  const port = await bound(grpc.ServerCredentials.createInsecure());
  client = new Client({ address: `127.0.0.1:${port}`, waitForReadyMs: 5_000 });
});

after(() => {
  client.close();
  server.forceShutdown();
});

test("leaving the loop cancels the call", async () => {
  const answer = client.stream("abc");
  for await (const piece of answer.textStream) {
    assert.equal(piece, "a");
    break;
  }
  await left;
  assert.throws(() => answer.response, /left before its end/);
  assert.throws(() => answer[Symbol.asyncIterator](), /read already/);
});

test("an aborted signal's reason is what is thrown", async () => {
  const leaving = new AbortController();
  const reading = (async () => {
    for await (const _ of client.stream("a", { signal: leaving.signal })) {
      leaving.abort(new Error("enough"));
    }
  })();
  await assert.rejects(reading, /^Error: enough$/);
  await left;
  await assert.rejects(client.generate("x", { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
});

test("an aborted signal ends the wait for the daemon, too", async () => {
  const early = new Client({ address: "127.0.0.1:1", waitForReadyMs: 600_000 });
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(new Error("enough")), 50);
  await assert.rejects(early.generate("x", { signal: leaving.signal }), /^Error: enough$/);
  const waiting = early.generate("x");
  early.close();
  await assert.rejects(waiting, /closed/);
});

test("a deadline keeps what came", async () => {
  const answer = client.stream("ab", { timeoutMs: 50 });
  const reading = (async () => {
    for await (const _ of answer);
  })();
  await assert.rejects(reading, (error: SidecardError) => {
    assert.equal(error.reason, "DEADLINE_EXCEEDED");
    assert.equal(error.partialText, "ab");
    return error instanceof SidecardError;
  });
});

test("a client serves many calls at once", async () => {
  const asked = Array.from({ length: 50 }, (_, i) => client.generate(`${i}`));
  const texts = (await Promise.all(asked)).map((reply) => reply.text);
  assert.deepEqual(
    texts,
    texts.map((_, i) => `${i}`),
  );
});

test("messages are written in short", () => {
  assert.equal(user("hi").role, Role.USER);
  assert.deepEqual(assistant("hi").content[0]?.block.value, user("hi").content[0]?.block.value);
  const { block } = user(toolResult("t", "rain")).content[0] ?? {};
  assert.equal(block?.case === "toolResult" && block.value.toolUseId, "t");
});

test("an address is host:port or a socket's file", () => {
  process.env.SIDECARD_ADDRESS = "unix:///run/sidecard.sock";
  assert.equal(new Client().address, "unix:///run/sidecard.sock");
  assert.equal(new Client({ address: "localhost:1" }).address, "localhost:1");
  for (const address of ["http://a:1", "unix://relative"]) {
    assert.throws(() => new Client({ address }), /neither host:port nor/);
  }
});

test("an error names reason, request and delay", () => {
  const error = new SidecardError("RATE_LIMITED", "wait", { requestId: "r", retryAfterMs: 1500 });
  assert.equal(error.message, "RATE_LIMITED: wait (request r, retry after 1.5 s)");
});

test("TLS is spoken, and checked", async () => {
  const folder = "../../tests/support/tls/";
  const known = readFileSync(`${folder}certificate.pem`);
  const pair = { private_key: readFileSync(`${folder}key.pem`), cert_chain: known };
  const port = await bound(grpc.ServerCredentials.createSsl(null, [pair]));
  const address = `localhost:${port}`;
  const friend = new Client({ address, credentials: grpc.credentials.createSsl(known) });
  assert.equal((await friend.generate("abc")).text, "abc");
  friend.close();
  const stranger = new Client({ address, credentials: grpc.credentials.createSsl() });
  await assert.rejects(stranger.generate("abc", { timeoutMs: 5_000 }), SidecardError);
  stranger.close();
});
