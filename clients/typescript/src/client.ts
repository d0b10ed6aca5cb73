/** The client: what it is told once, and its calls. */

import { randomBytes } from "node:crypto";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  CountTokensRequestSchema,
  type GenerateResponse,
} from "./contract/sidecard/v1/generation_pb.js";
import { absent, invalid, typed } from "./errors.js";
import { asked, type Question } from "./request.js";
import * as service from "./service.js";
import { isServiceError, Stream } from "./stream.js";

export const DEFAULT_ADDRESS = "127.0.0.1:7411";

const LOOK_MS = 50;

const CHANNEL: grpc.ChannelOptions = {
  // The daemon has the limits, and names the field that is over one.
  "grpc.max_send_message_length": -1,
  "grpc.max_receive_message_length": -1,
  // Trying again is the daemon's work; no proxy leads there, and no DNS record configures it.
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  // It is back within a second of a restart; gRPC would wait up to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // A daemon that hangs is noticed in a long silence too.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 20_000,
};

/** What a client is told once, for all its calls. */
export interface ClientOptions {
  /** `host:port` or `unix:///path`. Default: $SIDECARD_ADDRESS, or 127.0.0.1:7411. */
  address?: string;
  /** Most milliseconds that a call takes which doesn't say. Default: the daemon's own limit. */
  timeoutMs?: number;
  /** Whom the calls are for that don't say. Default: the daemon's "default". */
  tenant?: string;
  /** Shown to a daemon that wants one. Default: $SIDECARD_TOKEN. */
  token?: string;
  /**
   * Encrypts, for a daemon with `listen.tls`: `grpc.credentials.createSsl(…)` of @grpc/grpc-js.
   * Default: nothing is encrypted.
   */
  credentials?: grpc.ChannelCredentials;
  /**
   * Milliseconds that the first call waits for a daemon that is still starting,
   * in addition to its timeout. Default: not at all.
   */
  waitForReadyMs?: number;
}

/** What a call may say besides its request. */
export interface CallOptions {
  /** Most milliseconds that the call takes. */
  timeoutMs?: number;
  /** 1 to 128 of a-z, A-Z, 0-9 and ._:/+=@-. Default: one is made. */
  requestId?: string;
  /** Cancels the call, which then throws the signal's reason. */
  signal?: AbortSignal;
}

interface Call {
  address: string;
  requestId: string;
  metadata: grpc.Metadata;
  timeoutMs: number | undefined;
  signal: AbortSignal | undefined;
}

/** Calls the daemon over one connection, which it opens at its first call. */
export class Client {
  readonly address: string;
  readonly #options: ClientOptions;
  readonly #grpc: grpc.Client;
  #ready = false;
  #closed = false;

  /** Throws for another kind of address. */
  constructor(options: ClientOptions = {}) {
    this.address = options.address || process.env.SIDECARD_ADDRESS || DEFAULT_ADDRESS;
    if (this.address.includes("://") && !this.address.startsWith("unix:///")) {
      throw new Error(`"${this.address}" is neither host:port nor unix:///path`);
    }
    this.#options = options;
    const credentials = options.credentials ?? grpc.credentials.createInsecure();
    this.#grpc = new grpc.Client(this.address, credentials, CHANNEL);
  }

  /** The whole answer. Throws a `SidecardError`, or the signal's reason. */
  async generate(question: Question, options: CallOptions = {}): Promise<GenerateResponse> {
    const request = asked(question, this.#options.tenant ?? "");
    return this.#unary(service.generate, request, this.#call(options));
  }

  /** The answer as it comes. Nothing is sent before it is read. */
  stream(question: Question, options: CallOptions = {}): Stream {
    const request = asked(question, this.#options.tenant ?? "");
    const call = this.#call(options);
    const { path, serialize, deserialize } = service.streamGenerate;
    const begin = async () => {
      const deadline = await this.#begin(call);
      const { metadata } = call;
      return this.#grpc.makeServerStreamRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        deadline,
      );
    };
    return new Stream({ ...call, begin });
  }

  /** How many tokens of input the request has. Throws as `generate` does. */
  async countTokens(question: Question, options: CallOptions = {}): Promise<number> {
    const request = create(CountTokensRequestSchema, {
      request: asked(question, this.#options.tenant ?? ""),
    });
    const counted = await this.#unary(service.countTokens, request, this.#call(options));
    return Number(counted.inputTokens);
  }

  /** Closes the connection; running calls are cancelled. */
  close(): void {
    this.#closed = true;
    this.#grpc.close();
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    { path, serialize, deserialize }: service.Method<I, O>,
    request: MessageShape<I>,
    call: Call,
  ): Promise<MessageShape<O>> {
    const options = await this.#begin(call);
    let cancel = () => {};
    try {
      return await new Promise((resolve, reject) => {
        const answered = (error: grpc.ServiceError | null, response?: MessageShape<O>) =>
          response === undefined ? reject(error) : resolve(response);
        const { metadata } = call;
        const running = this.#grpc.makeUnaryRequest(
          path,
          serialize,
          deserialize,
          request,
          metadata,
          options,
          answered,
        );
        cancel = () => running.cancel();
        call.signal?.addEventListener("abort", cancel);
      });
    } catch (error) {
      call.signal?.throwIfAborted();
      throw isServiceError(error) ? typed(error, call) : error;
    } finally {
      call.signal?.removeEventListener("abort", cancel);
    }
  }

  #call(options: CallOptions): Call {
    const requestId = options.requestId || randomBytes(8).toString("hex");
    const metadata = new grpc.Metadata();
    // A file that holds a token ends in a newline.
    const token = (this.#options.token ?? process.env.SIDECARD_TOKEN ?? "").trim();
    for (const [field, text] of Object.entries({ request_id: requestId, token })) {
      if (/[^ -~]/.test(text)) throw invalid(field, requestId);
    }
    metadata.set("x-request-id", requestId);
    if (token) metadata.set("authorization", `Bearer ${token}`);
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    return { address: this.address, requestId, metadata, timeoutMs, signal: options.signal };
  }

  /** Waits for the daemon if it is to, and returns the call's deadline. */
  async #begin(call: Call): Promise<grpc.CallOptions> {
    call.signal?.throwIfAborted();
    const waitMs = this.#options.waitForReadyMs ?? 0;
    if (waitMs > 0 && !this.#ready) {
      const until = Date.now() + waitMs;
      // Look by look: grpc-js can't be told to stop waiting, and would hold up the process.
      for (let failed = await this.#look(until); failed; failed = await this.#look(until)) {
        call.signal?.throwIfAborted();
        if (this.#closed) {
          this.#grpc.close(); // To look has opened it again.
          throw new Error("the client is closed");
        }
        if (Date.now() >= until) throw absent(call, `waited ${waitMs / 1000} s`);
      }
      this.#ready = true;
      call.signal?.throwIfAborted();
    }
    return call.timeoutMs === undefined ? {} : { deadline: Date.now() + call.timeoutMs };
  }

  /** Waits a moment for the daemon; an error if it isn't there by then. */
  #look(until: number): Promise<Error | undefined> {
    const by = Math.min(until, Date.now() + LOOK_MS);
    return new Promise((resolve) => this.#grpc.waitForReady(by, resolve));
  }
}
