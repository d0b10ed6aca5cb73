package dev.sidecard.client;

import dev.sidecard.v1.CountTokensRequest;
import dev.sidecard.v1.CountTokensResponse;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.GenerateResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Objects;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Calls the daemon over one connection, which it opens at its first call.
 *
 * <p>Safe to share between threads. What {@code with…} returns shares the connection, and differs
 * in that one setting; whichever of them is closed closes it for all.
 */
public final class SidecardClient implements AutoCloseable {
  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** What is longer is no limit. */
  private static final Duration LONGEST = Duration.ofDays(365);

  private final Connection connection;
  private final Duration timeout;
  private final String tenant;
  private final String requestId;
  private final String token;

  private SidecardClient(
      Connection connection, Duration timeout, String tenant, String requestId, String token) {
    this.connection = connection;
    this.timeout = timeout;
    this.tenant = tenant;
    this.requestId = requestId;
    this.token = token;
  }

  /** The client of the daemon at $SIDECARD_ADDRESS, or else at 127.0.0.1:7411. */
  public static SidecardClient create() {
    String address = System.getenv("SIDECARD_ADDRESS");
    return create(address == null || address.isEmpty() ? Connection.DEFAULT_ADDRESS : address);
  }

  /**
   * The client of the daemon at {@code host:port} or {@code unix:///path}.
   *
   * <p>A {@code host:port} is encrypted as $SIDECARD_TLS_CA, _CERT, _KEY and _NAME say, which are
   * the fields of {@link Tls}; without them not at all.
   *
   * @throws IllegalArgumentException for another kind of address, and for files that can't be used
   */
  public static SidecardClient create(String address) {
    boolean socket = address.startsWith(Connection.SOCKET);
    return over(address, socket ? null : Tls.from(System.getenv()));
  }

  /**
   * The client of the daemon with {@code listen.tls} at {@code host:port}.
   *
   * @throws IllegalArgumentException for another kind of address, and for files that can't be used
   */
  public static SidecardClient create(String address, Tls tls) {
    return over(address, Objects.requireNonNull(tls, "tls"));
  }

  private static SidecardClient over(String address, Tls tls) {
    String token = Objects.requireNonNullElse(System.getenv("SIDECARD_TOKEN"), "");
    Connection connection = new Connection(address, tls);
    return new SidecardClient(connection, null, "", "", token.strip());
  }

  /** Calls take at most so long. Without it, the daemon's own limit holds. */
  public SidecardClient withTimeout(Duration timeout) {
    return new SidecardClient(connection, timeout, tenant, requestId, token);
  }

  /** Calls that don't say are for this tenant. Without it, for the daemon's "default". */
  public SidecardClient withTenant(String tenant) {
    return new SidecardClient(connection, timeout, tenant, requestId, token);
  }

  /**
   * Calls carry this id: 1 to 128 of a-z, A-Z, 0-9 and ._:/+=@-. Without it, each has one made.
   */
  public SidecardClient withRequestId(String requestId) {
    return new SidecardClient(connection, timeout, tenant, requestId, token);
  }

  /**
   * Calls show this token to a daemon that wants one, without the blanks around it. Without it,
   * $SIDECARD_TOKEN.
   */
  public SidecardClient withToken(String token) {
    return new SidecardClient(connection, timeout, tenant, requestId, token.strip());
  }

  /**
   * The connection's first call waits so long for a daemon that is still starting, in addition to
   * its timeout. Without it, not at all.
   */
  public SidecardClient withWaitForReady(Duration wait) {
    connection.waitAtFirst(wait);
    return this;
  }

  /** The whole answer to a prompt. */
  public GenerateResponse generate(String prompt) {
    return generate(Messages.prompt(prompt));
  }

  /**
   * The whole answer. An interrupted thread leaves: the call is cancelled.
   *
   * @throws SidecardException for every way to fail
   * @throws CancellationException if the thread was interrupted
   */
  public GenerateResponse generate(GenerateRequest request) {
    return waited(generateAsync(request));
  }

  /** The whole answer, later. Cancelling the future cancels the call. */
  public CompletableFuture<GenerateResponse> generateAsync(GenerateRequest request) {
    return unary(Service.GENERATE, asked(request));
  }

  /** How many tokens of input the request has. Throws as {@link #generate} does. */
  public long countTokens(GenerateRequest request) {
    CountTokensRequest wrapped = CountTokensRequest.newBuilder().setRequest(asked(request)).build();
    CountTokensResponse counted = waited(unary(Service.COUNT_TOKENS, wrapped));
    return counted.getInputTokens();
  }

  /** The answer to a prompt as it comes. */
  public SidecardStream stream(String prompt) {
    return stream(Messages.prompt(prompt));
  }

  /** The answer as it comes. Nothing is sent before the first event is asked for. */
  public SidecardStream stream(GenerateRequest request) {
    Call call = begin();
    GenerateRequest asked = asked(request);
    return new SidecardStream(
        call,
        () -> {
          connection.awaitReady(call);
          return ClientCalls.blockingServerStreamingCall(
              call.begun(started(Service.STREAM_GENERATE, call)), asked);
        });
  }

  /** Closes the connection; running calls are cancelled. */
  @Override
  public void close() {
    connection.close();
  }

  private <I, O> CompletableFuture<O> unary(MethodDescriptor<I, O> method, I request) {
    Call call = begin();
    CompletableFuture<O> answer = new CompletableFuture<>();
    connection
        .ready(call)
        .whenComplete(
            (ready, absent) -> {
              if (absent != null) {
                answer.completeExceptionally(absent);
              } else if (!answer.isDone()) {
                try {
                  ClientCall<I, O> begun = call.begun(started(method, call));
                  ClientCalls.asyncUnaryCall(begun, request, new Answer<>(call, answer));
                } catch (RuntimeException unsent) {
                  answer.completeExceptionally(unsent);
                }
              }
            });
    answer.whenComplete(
        (response, error) -> {
          if (answer.isCancelled()) {
            call.cancel();
          }
        });
    return answer;
  }

  private static <O> O waited(CompletableFuture<O> answer) {
    try {
      return answer.get();
    } catch (InterruptedException interrupted) {
      answer.cancel(true);
      Thread.currentThread().interrupt();
      throw new CancellationException("interrupted while waiting for the answer");
    } catch (java.util.concurrent.ExecutionException error) {
      Throwable cause = error.getCause();
      if (cause instanceof CompletionException wrapped) {
        cause = wrapped.getCause();
      }
      throw cause instanceof RuntimeException known ? known : new IllegalStateException(cause);
    }
  }

  private Call begin() {
    String id = requestId;
    if (id.isEmpty()) {
      id = HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong());
    }
    return new Call(connection.address(), id);
  }

  private <I, O> ClientCall<I, O> started(MethodDescriptor<I, O> method, Call call) {
    CallOptions options = CallOptions.DEFAULT;
    if (timeout != null && timeout.compareTo(LONGEST) < 0) {
      options = options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
    }
    call.check("request_id", call.requestId());
    call.check("token", token);
    Metadata metadata = new Metadata();
    metadata.put(REQUEST_ID, call.requestId());
    if (!token.isEmpty()) {
      metadata.put(AUTHORIZATION, "Bearer " + token);
    }
    ManagedChannel channel = connection.channel();
    return MetadataUtils.newAttachHeadersInterceptor(metadata)
        .interceptCall(method, options, channel);
  }

  private GenerateRequest asked(GenerateRequest request) {
    return tenant.isEmpty() || !request.getTenant().isEmpty()
        ? request
        : request.toBuilder().setTenant(tenant).build();
  }

  private record Answer<O>(Call call, CompletableFuture<O> future) implements StreamObserver<O> {
    @Override
    public void onNext(O answer) {
      future.complete(answer);
    }

    @Override
    public void onError(Throwable error) {
      future.completeExceptionally(
          error instanceof StatusRuntimeException status ? call.failure(status, "") : error);
    }

    @Override
    public void onCompleted() {}
  }
}
