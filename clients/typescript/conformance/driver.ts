/**
 * The conformance driver of the TypeScript client: makes calls as it is told, and reports them.
 * clients/conformance/README.md has the protocol.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { credentials, status } from "@grpc/grpc-js";
import {
  type CallOptions,
  Client,
  GenerateRequestSchema,
  GenerateResponseSchema,
  SidecardError,
  type Stream,
  StreamEventSchema,
} from "../src/index.js";

interface Job {
  address: string;
  tenant?: string;
  token?: string;
  client_timeout_s?: number;
  wait_for_ready_s?: number;
  tls?: { ca_file: string; cert_file?: string; key_file?: string };
  method: string;
  request: string;
  request_id?: string;
  timeout_s?: number;
  leave?: { after_pieces?: number; after_s?: number };
}

type Report = Record<string, unknown>;

const clients = new Map<string, Client>();

/** The client that is told this, the same one each time. */
function clientOf(job: Job): Client {
  const { address, tenant, token, client_timeout_s, wait_for_ready_s, tls } = job;
  const key = JSON.stringify([address, tenant, token, client_timeout_s, wait_for_ready_s, tls]);
  const known = clients.get(key);
  if (known) return known;
  const client = new Client({
    address: job.address,
    ...(job.tenant && { tenant: job.tenant }),
    ...(job.token && { token: job.token }),
    ...(job.client_timeout_s && { timeoutMs: job.client_timeout_s * 1000 }),
    ...(job.wait_for_ready_s && { waitForReadyMs: job.wait_for_ready_s * 1000 }),
    ...(tls && {
      credentials: credentials.createSsl(
        read(tls.ca_file),
        read(tls.key_file),
        read(tls.cert_file),
      ),
    }),
  });
  clients.set(key, client);
  return client;
}

function read(file: string | undefined): Buffer | null {
  return file ? readFileSync(file) : null;
}

async function done(job: Job): Promise<Report> {
  const client = clientOf(job);
  const leaving = new AbortController();
  if (job.leave?.after_s) setTimeout(() => leaving.abort(), job.leave.after_s * 1000);
  const options: CallOptions = {
    signal: leaving.signal,
    ...(job.request_id && { requestId: job.request_id }),
    ...(job.timeout_s && { timeoutMs: job.timeout_s * 1000 }),
  };
  const request = fromBinary(GenerateRequestSchema, Buffer.from(job.request, "base64"));
  try {
    if (job.method === "stream") return await streamed(client.stream(request, options), job);
    if (job.method === "count_tokens") {
      return { input_tokens: await client.countTokens(request, options) };
    }
    return { response: packed(GenerateResponseSchema, await client.generate(request, options)) };
  } catch (error) {
    return told(error);
  }
}

async function streamed(stream: Stream, job: Job): Promise<Report> {
  const events: string[] = [];
  let pieces = 0;
  try {
    if (job.leave?.after_pieces !== 0) {
      for await (const event of stream) {
        events.push(packed(StreamEventSchema, event));
        if (event.event.case === "textDelta" && event.event.value) pieces++;
        if (pieces === job.leave?.after_pieces) break;
      }
    }
    const response = packed(GenerateResponseSchema, stream.response);
    return { events, text: stream.text, response };
  } catch (error) {
    return { events, text: stream.text, ...told(error) };
  }
}

/** How a call failed: by an error that says so, or by its caller. */
function told(error: unknown): Report {
  if (!(error instanceof SidecardError)) return { left: true };
  return {
    error: {
      reason: error.reason,
      code: status[error.code],
      message: error.details,
      retry_after_s: error.retryAfterMs === undefined ? null : error.retryAfterMs / 1000,
      request_id: error.requestId,
      target: error.target,
      attempts: error.attempts,
      violations: error.violations,
      partial_text: error.partialText,
    },
  };
}

function packed<D extends DescMessage>(schema: D, message: MessageShape<D>): string {
  return Buffer.from(toBinary(schema, message)).toString("base64");
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await done(JSON.parse(line)))}\n`);
}
for (const client of clients.values()) client.close();
