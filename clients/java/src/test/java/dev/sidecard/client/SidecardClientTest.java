package dev.sidecard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecard.v1.ContentBlock;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.GenerateResponse;
import dev.sidecard.v1.Generation;
import dev.sidecard.v1.Role;
import dev.sidecard.v1.StreamEvent;
import dev.sidecard.v1.StreamGenerateResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is Java's own; the vectors of clients/conformance say how calls go. */
@Timeout(20)
class SidecardClientTest {
  private final CountDownLatch left = new CountDownLatch(1);
  private Server server;
  private SidecardClient client;

  @BeforeEach
  void serve() throws IOException {
    ServerServiceDefinition service =
        ServerServiceDefinition.builder(Service.NAME)
            .addMethod(Service.GENERATE, ServerCalls.asyncUnaryCall(this::echo))
            .addMethod(Service.STREAM_GENERATE, ServerCalls.asyncServerStreamingCall(this::letters))
            .build();
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(service)
            .build()
            .start();
    client = SidecardClient.create("127.0.0.1:" + server.getPort());
  }

  @AfterEach
  void stop() {
    client.close();
    server.shutdownNow();
  }

  /** Answers with the prompt; never to "wait". */
  private void echo(GenerateRequest request, StreamObserver<GenerateResponse> answer) {
    if (request.getPrompt().equals("wait")) {
      ((ServerCallStreamObserver<GenerateResponse>) answer).setOnCancelHandler(left::countDown);
      return;
    }
    answer.onNext(GenerateResponse.newBuilder().setText(request.getPrompt()).build());
    answer.onCompleted();
  }

  /** Streams the prompt letter by letter, and then nothing until the caller leaves. */
  private void letters(GenerateRequest request, StreamObserver<StreamGenerateResponse> answer) {
    ((ServerCallStreamObserver<StreamGenerateResponse>) answer).setOnCancelHandler(left::countDown);
    StreamGenerateResponse.Builder message = StreamGenerateResponse.newBuilder();
    message.addEvents(StreamEvent.newBuilder().setBlockStarted(Messages.text("")));
    for (String letter : request.getPrompt().split("")) {
      message.addEvents(StreamEvent.newBuilder().setTextDelta(letter));
    }
    answer.onNext(message.build());
  }

  @Test
  void closingTheStreamCancelsTheCall() throws InterruptedException {
    SidecardStream stream = client.stream("abc");
    try (stream) {
      assertEquals("a", stream.pieces().findFirst().orElseThrow());
    }
    assertTrue(left.await(5, TimeUnit.SECONDS));
    assertThrows(IllegalStateException.class, stream::response);
    assertThrows(IllegalStateException.class, stream::iterator);
  }

  @Test
  void closingTheStreamWakesTheThreadThatReads() {
    SidecardStream stream = client.stream("ab");
    assertThrows(
        CancellationException.class,
        () -> {
          for (StreamEvent event : stream) {
            if (event.getTextDelta().equals("b")) {
              CompletableFuture.runAsync(stream::close);
            }
          }
        });
  }

  @Test
  void interruptingTheThreadCancelsTheCall() throws InterruptedException {
    Thread.currentThread().interrupt();
    assertThrows(CancellationException.class, () -> client.generate("wait"));
    assertTrue(Thread.interrupted(), "the thread is told, too");
    assertEquals("x", client.generate("x").getText());
  }

  @Test
  void interruptingTheReaderOfAStreamCancelsTheCall() throws InterruptedException {
    SidecardStream stream = client.stream("ab");
    assertThrows(
        CancellationException.class,
        () -> {
          for (StreamEvent event : stream) {
            if (event.getTextDelta().equals("b")) {
              Thread.currentThread().interrupt();
            }
          }
        });
    assertTrue(Thread.interrupted(), "the thread is told, too");
    assertTrue(left.await(5, TimeUnit.SECONDS));
  }

  @Test
  void interruptingTheThreadEndsTheWaitForTheDaemon() {
    try (SidecardClient early = SidecardClient.create("127.0.0.1:1")) {
      early.withWaitForReady(Duration.ofMinutes(10));
      for (boolean streamed : List.of(false, true)) {
        Thread.currentThread().interrupt();
        assertThrows(
            CancellationException.class,
            () -> {
              if (streamed) {
                early.stream("x").pieces().forEach(piece -> {});
              } else {
                early.generate("x");
              }
            });
        assertTrue(Thread.interrupted());
      }
    }
  }

  @Test
  void whoLeavesTheWaitForTheDaemonEndsNobodyElses() throws Exception {
    try (SidecardClient early = SidecardClient.create("127.0.0.1:1")) {
      early.withWaitForReady(Duration.ofMillis(400));
      early.generateAsync(Messages.prompt("x")).cancel(true);
      Thread.sleep(150);
      SidecardException error =
          assertThrows(SidecardException.class, () -> early.generate("x"));
      assertTrue(error.details().contains("waited 0.4 s"), error.details());
    }
  }

  @Test
  void aTimeoutBeyondAllMeasureIsNone() {
    SidecardClient patient = client.withTimeout(Duration.ofSeconds(Long.MAX_VALUE));
    assertEquals("x", patient.generate("x").getText());
  }

  @Test
  void cancellingTheFutureCancelsTheCall() throws InterruptedException {
    CompletableFuture<GenerateResponse> answer = client.generateAsync(Messages.prompt("wait"));
    assertEquals("x", client.generate("x").getText());
    answer.cancel(true);
    assertTrue(left.await(5, TimeUnit.SECONDS));
  }

  @Test
  void aDeadlineKeepsWhatCame() {
    SidecardStream stream = client.withTimeout(Duration.ofMillis(300)).stream("ab");
    SidecardException error =
        assertThrows(SidecardException.class, () -> stream.pieces().forEach(piece -> {}));
    assertEquals(Reason.DEADLINE_EXCEEDED, error.reason());
    assertEquals("ab", error.partialText());
  }

  @Test
  void aClientIsSharedBetweenThreads() {
    List<CompletableFuture<String>> answers =
        IntStream.range(0, 50)
            .mapToObj(
                i -> CompletableFuture.supplyAsync(() -> client.generate("" + i).getText()))
            .toList();
    for (int i = 0; i < answers.size(); i++) {
      assertEquals("" + i, answers.get(i).join());
    }
  }

  @Test
  void theMethodsAreTheContracts() {
    var described = Generation.getDescriptor().findServiceByName("GenerationService");
    List<String> contract =
        described.getMethods().stream()
            .map(method -> described.getFullName() + "/" + method.getName())
            .toList();
    List<MethodDescriptor<?, ?>> ours =
        List.of(Service.GENERATE, Service.STREAM_GENERATE, Service.COUNT_TOKENS);
    assertEquals(contract, ours.stream().map(MethodDescriptor::getFullMethodName).toList());
  }

  @Test
  void messagesAreWrittenInShort() {
    assertEquals(Role.ROLE_USER, Messages.user("hi").getRole());
    ContentBlock said = Messages.text("hi");
    assertEquals(said, Messages.assistant(List.of(said)).getContent(0));
    assertEquals("t", Messages.toolResult("t", "rain").getToolResult().getToolUseId());
  }

  @Test
  void anAddressIsHostAndPortOrASocketsFile() {
    SidecardClient.create("unix:///run/sidecard.sock").close();
    for (String address : List.of("http://a:1", "unix://relative")) {
      assertThrows(IllegalArgumentException.class, () -> SidecardClient.create(address));
    }
  }

  @Test
  void aReasonOfALaterVersionIsKeptAsItIs() {
    var facts =
        new SidecardException.Facts(
            "LATER", null, "wait", Duration.ofMillis(1500), "r", "", 0, List.of(), "");
    SidecardException error = new SidecardException(facts, null);
    assertEquals(Reason.OTHER, error.reason());
    assertEquals("LATER: wait (request r) (retry after 1.5 s)", error.getMessage());
  }
}
