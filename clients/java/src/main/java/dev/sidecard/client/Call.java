package dev.sidecard.client;

import io.grpc.ClientCall;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.CancellationException;

/** One call on its way: under which id, to where, and how to cancel it. */
final class Call {
  private final String address;
  private final String requestId;
  private ClientCall<?, ?> running;
  private boolean cancelled;

  Call(String address, String requestId) {
    this.address = address;
    this.requestId = requestId;
  }

  String requestId() {
    return requestId;
  }

  /** Keeps what is to be cancelled; throws if the caller has left meanwhile. */
  synchronized <I, O> ClientCall<I, O> begun(ClientCall<I, O> begun) {
    if (cancelled) {
      throw new CancellationException("the caller left");
    }
    running = begun;
    return begun;
  }

  synchronized boolean isCancelled() {
    return cancelled;
  }

  synchronized void cancel() {
    cancelled = true;
    if (running != null) {
      running.cancel("the caller left", null);
    }
  }

  SidecardException failure(StatusRuntimeException error, String partialText) {
    return Failure.of(error, address, requestId, partialText);
  }

  /** Throws for what can't be sent; grpc-java would leave it out, or send something else. */
  void check(String field, String text) {
    if (!text.chars().allMatch(c -> c >= ' ' && c <= '~')) {
      throw Failure.invalid(requestId, field, "has characters that no header can hold");
    }
  }

  SidecardException absent(String details) {
    return Failure.absent(address, requestId, details);
  }
}
