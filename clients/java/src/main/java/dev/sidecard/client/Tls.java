package dev.sidecard.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * Encrypts the connection, for a daemon with {@code listen.tls}.
 *
 * <p>The files are in PEM, and are read when the client is made. What isn't said is null.
 *
 * @param caFile the issuers of whom one has to have signed the daemon's certificate; null for those
 *     that Java knows
 * @param certFile the client's own certificate, for a daemon that wants to see one (mTLS)
 * @param keyFile its key, in PKCS #8 ("BEGIN PRIVATE KEY")
 * @param serverName the name in the daemon's certificate, where it isn't the host of the address
 */
public record Tls(Path caFile, Path certFile, Path keyFile, String serverName) {
  private static final String VARIABLE = "SIDECARD_TLS_";

  /**
   * What is said.
   *
   * @throws IllegalArgumentException for half of a pair
   */
  public Tls {
    if ((certFile == null) != (keyFile == null)) {
      throw new IllegalArgumentException(
          "a client's certificate needs certFile and keyFile, both");
    }
  }

  /** The daemon's certificate has to be signed by one of these issuers. */
  public static Tls trusting(Path caFile) {
    return new Tls(caFile, null, null, null);
  }

  /** The same, and the daemon sees this certificate (mTLS). */
  public Tls showing(Path certFile, Path keyFile) {
    return new Tls(caFile, certFile, keyFile, serverName);
  }

  /** The same, with another name in the daemon's certificate than the address's host. */
  public Tls named(String serverName) {
    return new Tls(caFile, certFile, keyFile, serverName);
  }

  /** What $SIDECARD_TLS_CA, _CERT, _KEY and _NAME say; null where none is set. */
  static Tls from(Map<String, String> environment) {
    String name = given(environment, "NAME");
    Path ca = path(environment, "CA");
    Path cert = path(environment, "CERT");
    Path key = path(environment, "KEY");
    boolean none = name == null && ca == null && cert == null && key == null;
    return none ? null : new Tls(ca, cert, key, name);
  }

  /**
   * What a channel takes.
   *
   * @throws IllegalArgumentException for a file that can't be read, or has something else
   */
  ChannelCredentials credentials() {
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (caFile != null) {
        builder.trustManager(pem(caFile, "CERTIFICATE"));
      }
      if (certFile != null) {
        builder.keyManager(pem(certFile, "CERTIFICATE"), pem(keyFile, "PRIVATE KEY"));
      }
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible); // What is in memory can be read.
    }
    return builder.build();
  }

  private static InputStream pem(Path path, String kind) {
    byte[] content;
    try {
      content = Files.readAllBytes(path);
    } catch (IOException error) {
      throw new IllegalArgumentException("can't read " + path + ": " + error, error);
    }
    String begin = "-----BEGIN " + kind + "-----";
    if (!new String(content, StandardCharsets.ISO_8859_1).contains(begin)) {
      throw new IllegalArgumentException(path + " has no \"" + begin + "\"");
    }
    return new ByteArrayInputStream(content);
  }

  private static Path path(Map<String, String> environment, String name) {
    String value = given(environment, name);
    return value == null ? null : Path.of(value);
  }

  private static String given(Map<String, String> environment, String name) {
    String value = environment.get(VARIABLE + name);
    return value == null || value.isEmpty() ? null : value;
  }
}
