/** The answer to one call as it comes. */

import { type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import type {
  GenerateResponse,
  StreamGenerateResponse,
} from "./contract/sidecard/v1/generation_pb.js";
import type { StreamEvent } from "./contract/sidecard/v1/stream_pb.js";
import { SidecardError, typed } from "./errors.js";
import { Progress } from "./progress.js";

type Messages = ClientReadableStream<StreamGenerateResponse>;

/** What a stream needs to know of its call. */
export interface Begun {
  address: string;
  requestId: string;
  signal?: AbortSignal | undefined;
  begin: () => Promise<Messages>;
}

/**
 * Events in order: `for await (const event of stream)`. To be read once.
 *
 * A loop that just ends has had a whole answer; anything else throws a `SidecardError`.
 * Nothing is sent before the loop begins, and leaving it cancels the call.
 */
export class Stream implements AsyncIterable<StreamEvent> {
  readonly #call: Begun;
  readonly #progress = new Progress();
  #events: AsyncGenerator<StreamEvent> | undefined;
  #response: GenerateResponse | undefined;
  #error: unknown = new Error("the stream was not read to its end");

  constructor(call: Begun) {
    this.#call = call;
  }

  /** All text that came so far; an answer only where `response` is one. */
  get text(): string {
    return this.#progress.text;
  }

  /** The whole answer, as `generate` gives it; throws what the stream failed with. */
  get response(): GenerateResponse {
    if (this.#response) return this.#response;
    throw this.#error;
  }

  /**
   * The text alone, piece by piece.
   * After a `restarted` event, which the stream itself shows, it begins anew.
   */
  get textStream(): AsyncIterable<string> {
    return pieces(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<StreamEvent> {
    if (this.#events) throw new Error("the stream has been read already");
    this.#events = this.#read();
    return this.#events;
  }

  async *#read(): AsyncGenerator<StreamEvent> {
    let last: GenerateResponse | undefined;
    let left = true;
    try {
      for await (const message of messages(this.#call)) {
        for (const event of message.events) this.#progress.fold(event);
        last = message.response ?? last;
        yield* message.events;
      }
      left = false;
      if (!last) throw this.#cutOff();
      this.#response = this.#progress.whole(last);
    } catch (error) {
      left = false;
      this.#error = this.#meaning(error);
      throw this.#error;
    } finally {
      if (left) this.#error = new Error("the stream was left before its end");
    }
  }

  #cutOff(): SidecardError {
    const { requestId } = this.#call;
    const message = "the stream ended before the answer was whole";
    return new SidecardError("UPSTREAM_INTERRUPTED", message, {
      requestId,
      partialText: this.text,
    });
  }

  #meaning(error: unknown): unknown {
    if (error instanceof SidecardError || !isServiceError(error)) return error;
    if (error.code === status.CANCELLED && this.#call.signal?.aborted)
      return this.#call.signal.reason;
    return typed(error, this.#call, this.text);
  }
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}

async function* pieces(stream: Stream): AsyncGenerator<string> {
  for await (const { event } of stream) {
    if (event.case === "textDelta" && event.value) yield event.value;
  }
}

/**
 * The call's messages, and then its error, if there is one.
 * Iterating over grpc-js's own stream would drop messages that came right before an error.
 */
async function* messages(begun: Begun): AsyncGenerator<StreamGenerateResponse> {
  const call = await begun.begin();
  const cancel = () => call.cancel();
  begun.signal?.addEventListener("abort", cancel);
  let failure: Error | undefined;
  let ended = false;
  let wake = () => {};
  call.on("readable", () => wake());
  call.on("error", (error: Error) => {
    failure = error;
    wake();
  });
  call.on("end", () => {
    ended = true;
    wake();
  });
  try {
    while (!ended) {
      const message: StreamGenerateResponse | null = call.read();
      if (message) {
        yield message;
      } else if (!ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    if (failure) throw failure;
  } finally {
    begun.signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}
