package dev.sidecard.client;

import io.grpc.ConnectivityState;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** The one connection of a client, to a daemon that is beside it and dependable by itself. */
final class Connection {
  static final String DEFAULT_ADDRESS = "127.0.0.1:7411";

  /** How the address of a socket's file begins. */
  static final String SOCKET = "unix:///";

  private static final long LOOK_MS = 50;

  private final String address;
  private final ManagedChannel channel;
  private volatile Duration wait = Duration.ZERO;

  /** Encrypted as {@code tls} says, or where that is null, not at all. */
  Connection(String address, Tls tls) {
    if (address.contains("://") && !address.startsWith(SOCKET)) {
      throw new IllegalArgumentException(
          "\"" + address + "\" is neither host:port nor unix:///path");
    }
    if (tls != null && address.startsWith(SOCKET)) {
      throw new IllegalArgumentException(
          "\"" + address + "\" is a socket's file, which nothing encrypts");
    }
    this.address = address;
    ManagedChannelBuilder<?> builder = builder(address, tls);
    if (tls != null && tls.serverName() != null) {
      builder.overrideAuthority(tls.serverName());
    }
    channel =
        builder
            // Trying again is the daemon's work; no proxy leads there.
            .disableRetry()
            .disableServiceConfigLookUp()
            .proxyDetector(target -> null)
            // The daemon has the limits, and names the field that is over one.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // A daemon that hangs is noticed in a long silence too.
            .keepAliveTime(30, TimeUnit.SECONDS)
            .keepAliveTimeout(20, TimeUnit.SECONDS)
            .build();
  }

  private static ManagedChannelBuilder<?> builder(String address, Tls tls) {
    if (tls == null) {
      return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create());
    }
    try {
      return Grpc.newChannelBuilder(address, tls.credentials());
    } catch (ManagedChannelRegistry.ProviderNotFoundException unusable) {
      throw new IllegalArgumentException(
          tls + " can't be used: " + unusable.getMessage(), unusable);
    }
  }

  String address() {
    return address;
  }

  ManagedChannel channel() {
    // A daemon is back within a second of a restart; gRPC would wait up to two minutes.
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
    return channel;
  }

  void waitAtFirst(Duration wait) {
    this.wait = wait;
  }

  /** Completes once the daemon takes connections, at the first call of a client that waits. */
  CompletableFuture<Void> ready(Call call) {
    if (wait.isZero()) {
      return CompletableFuture.completedFuture(null);
    }
    CompletableFuture<Void> ready = new CompletableFuture<>();
    look(call, ready, System.nanoTime() + wait.toNanos());
    return ready;
  }

  /** As {@link #ready}, for a caller that blocks. An interrupted thread leaves. */
  void awaitReady(Call call) {
    try {
      ready(call).get();
    } catch (ExecutionException error) {
      throw error.getCause() instanceof SidecardException absent
          ? absent
          : new IllegalStateException(error);
    } catch (InterruptedException interrupted) {
      call.cancel();
      Thread.currentThread().interrupt();
      throw new CancellationException("interrupted while waiting for the daemon");
    }
  }

  void close() {
    channel.shutdownNow();
  }

  private void look(Call call, CompletableFuture<Void> ready, long until) {
    ConnectivityState state = channel.getState(true);
    if (state == ConnectivityState.READY) {
      wait = Duration.ZERO;
      ready.complete(null);
    } else if (call.isCancelled()) {
      ready.complete(null); // Nobody waits any longer.
    } else if (System.nanoTime() > until || state == ConnectivityState.SHUTDOWN) {
      ready.completeExceptionally(call.absent("waited " + wait.toMillis() / 1000.0 + " s"));
    } else {
      channel.resetConnectBackoff();
      CompletableFuture.delayedExecutor(LOOK_MS, TimeUnit.MILLISECONDS)
          .execute(() -> look(call, ready, until));
    }
  }
}
