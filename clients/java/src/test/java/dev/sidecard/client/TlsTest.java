package dev.sidecard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.GenerateResponse;
import io.grpc.Grpc;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.TlsServerCredentials;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Encrypted calls, to a daemon with a certificate of its own. */
@Timeout(20)
class TlsTest {
  @TempDir static Path folder;

  private static Certificates files;
  private Server server;

  @BeforeAll
  static void make() throws IOException, InterruptedException {
    files = Certificates.made(folder);
  }

  /** Serves with the certificate of {@code own}; clients have to show one if {@code mutual}. */
  private void serve(String own, boolean mutual) throws IOException {
    TlsServerCredentials.Builder credentials = TlsServerCredentials.newBuilder();
    credentials.keyManager(files.of(own).toFile(), files.key(own).toFile());
    if (mutual) {
      credentials.trustManager(files.of("ca").toFile());
      credentials.clientAuth(TlsServerCredentials.ClientAuth.REQUIRE);
    }
    ServerServiceDefinition service =
        ServerServiceDefinition.builder(Service.NAME)
            .addMethod(Service.GENERATE, ServerCalls.asyncUnaryCall(TlsTest::echo))
            .build();
    server =
        Grpc.newServerBuilderForPort(0, credentials.build()).addService(service).build().start();
  }

  @AfterEach
  void stop() {
    if (server != null) {
      server.shutdownNow();
    }
  }

  private static void echo(GenerateRequest request, StreamObserver<GenerateResponse> answer) {
    answer.onNext(GenerateResponse.newBuilder().setText(request.getPrompt()).build());
    answer.onCompleted();
  }

  private String address() {
    return "localhost:" + server.getPort();
  }

  private String answer(Tls tls) {
    try (SidecardClient client = SidecardClient.create(address(), tls)) {
      return client.generate("abc").getText();
    }
  }

  private String refused(Tls tls) {
    SidecardException error = assertThrows(SidecardException.class, () -> answer(tls));
    assertEquals(Reason.UNAVAILABLE, error.reason());
    return error.getMessage();
  }

  @Test
  void tlsIsSpokenAndChecked() throws IOException {
    serve("daemon", false);
    assertEquals("abc", answer(Tls.trusting(files.of("ca"))));
    for (Path strangers : new Path[] {files.of("stranger-ca"), null}) {
      String message = refused(Tls.trusting(strangers));
      assertTrue(message.contains("unable to find valid certification path"), message);
    }
    try (SidecardClient clear = SidecardClient.create(address())) {
      assertThrows(SidecardException.class, () -> clear.generate("abc"));
    }
  }

  @Test
  void aDaemonSeesTheClientsCertificate() throws IOException {
    serve("daemon", true);
    Tls nameless = Tls.trusting(files.of("ca"));
    assertEquals("abc", answer(nameless.showing(files.of("client"), files.key("client"))));
    refused(nameless);
    refused(nameless.showing(files.of("stranger"), files.key("stranger")));
  }

  @Test
  void theNameInTheCertificateIsTheAddresssOrTheOneGiven() throws IOException {
    serve("elsewhere", false);
    Tls tls = Tls.trusting(files.of("ca"));
    String message = refused(tls);
    assertTrue(message.contains("localhost"), message);
    assertEquals("abc", answer(tls.named("sidecard.test")));
  }

  @Test
  void theEnvironmentEncrypts() throws IOException, InterruptedException {
    serve("elsewhere", true);
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    String classes = System.getProperty("java.class.path");
    ProcessBuilder asking = new ProcessBuilder(java, "-cp", classes, TlsTest.class.getName());
    asking
        .environment()
        .putAll(
            Map.of(
                "SIDECARD_ADDRESS", address(),
                "SIDECARD_TLS_CA", files.of("ca").toString(),
                "SIDECARD_TLS_CERT", files.of("client").toString(),
                "SIDECARD_TLS_KEY", files.key("client").toString(),
                "SIDECARD_TLS_NAME", "sidecard.test"));
    Process asked = asking.redirectErrorStream(true).start();
    String said = new String(asked.getInputStream().readAllBytes());
    assertEquals(0, asked.waitFor(), said);
    assertTrue(said.endsWith("answer: abc"), said);
  }

  /** Asks as the environment says. */
  public static void main(String[] arguments) {
    try (SidecardClient client = SidecardClient.create()) {
      System.out.print("answer: " + client.generate("abc").getText());
    }
    SidecardClient.create("unix:///run/sidecard.sock").close(); // It isn't encrypted: no complaint.
  }

  @Test
  void anEnvironmentThatSaysNothingEncryptsNothing() {
    assertNull(Tls.from(Map.of("SIDECARD_TLS_CA", "", "SIDECARD_TOKEN", "x")));
    Tls named = new Tls(null, null, null, "sidecard.test");
    assertEquals(named, Tls.from(Map.of("SIDECARD_TLS_NAME", "sidecard.test")));
  }

  private static String wrong(String address, Tls tls) {
    return assertThrows(
            IllegalArgumentException.class, () -> SidecardClient.create(address, tls).close())
        .getMessage();
  }

  @Test
  void aMistakeIsNamed() throws IOException {
    String here = "localhost:1";
    Path cert = files.of("client");
    assertThrows(IllegalArgumentException.class, () -> new Tls(null, cert, null, null));
    assertTrue(wrong(here, Tls.trusting(Path.of("/no/such.pem"))).contains("can't read /no/such"));
    assertTrue(wrong(here, Tls.trusting(files.key("ca"))).contains("ca-key.pem has no"));
    Tls keyless = Tls.trusting(files.of("ca")).showing(cert, cert);
    assertTrue(wrong(here, keyless).contains("client.pem has no \"-----BEGIN PRIVATE KEY"));
    Path broken = folder.resolve("broken.pem");
    java.nio.file.Files.writeString(
        broken, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    String message = wrong(here, Tls.trusting(broken));
    assertTrue(message.contains("broken.pem"), message);
    String socket = wrong("unix:///run/sidecard.sock", Tls.trusting(null));
    assertTrue(socket.contains("a socket's file, which nothing encrypts"), socket);
  }
}
