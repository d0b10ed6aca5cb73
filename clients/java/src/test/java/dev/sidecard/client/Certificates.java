package dev.sidecard.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What two issuers have signed, made with {@code openssl}: {@code ca} has signed {@code daemon},
 * for localhost, {@code elsewhere}, for another host, and {@code client}; {@code stranger-ca} has
 * signed {@code stranger}.
 */
record Certificates(Path folder) {
  static Certificates made(Path folder) throws IOException, InterruptedException {
    Certificates made = new Certificates(folder);
    for (String issuer : List.of("ca", "stranger-ca")) {
      made.openssl("req -x509 -days 2 -out " + issuer + ".pem", issuer);
    }
    made.signed("ca", "daemon", "localhost");
    made.signed("ca", "elsewhere", "sidecard.test");
    made.signed("ca", "client", "me");
    made.signed("stranger-ca", "stranger", "me");
    return made;
  }

  /** Where {@code name}'s certificate is. */
  Path of(String name) {
    return folder.resolve(name + ".pem");
  }

  /** Where {@code name}'s key is. */
  Path key(String name) {
    return folder.resolve(name + "-key.pem");
  }

  private void signed(String issuer, String name, String host)
      throws IOException, InterruptedException {
    Files.writeString(folder.resolve("names"), "subjectAltName=DNS:" + host);
    openssl("req -new -out request", name);
    openssl(
        "x509 -req -in request -days 2 -set_serial 2 -extfile names -CA %s.pem -CAkey %s-key.pem -out %s.pem"
            .formatted(issuer, issuer, name),
        null);
  }

  /** Runs openssl in the folder, with a new key for {@code owner} unless that is null. */
  private void openssl(String arguments, String owner) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments.split(" ")));
    if (owner != null) {
      command.addAll(List.of("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"));
      command.addAll(List.of("-nodes", "-keyout", owner + "-key.pem", "-subj", "/CN=" + owner));
    }
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes());
    if (process.waitFor() != 0) {
      throw new IllegalStateException(said);
    }
  }
}
