package dev.sidecard.example;

import static dev.sidecard.client.Messages.assistant;
import static dev.sidecard.client.Messages.user;

import dev.sidecard.client.Reason;
import dev.sidecard.client.SidecardClient;
import dev.sidecard.client.SidecardException;
import dev.sidecard.client.SidecardStream;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.GenerateResponse;
import java.time.Duration;

/**
 * A question, a stream, and what to do when there is no answer. A daemon has to be running: {@code
 * sidecard serve}, or {@code make run} in sidecard's repository.
 */
public final class Ask {
  private Ask() {}

  public static void main(String[] arguments) {
    String question = arguments.length > 0 ? String.join(" ", arguments) : "Why is the sky blue?";
    try (SidecardClient connected = SidecardClient.create()) {
      ask(
          connected.withTimeout(Duration.ofMinutes(1)).withWaitForReady(Duration.ofSeconds(5)),
          question);
    } catch (SidecardException error) {
      if (error.reason() == Reason.UNAVAILABLE) {
        System.err.println("Start a daemon first: sidecard serve");
      }
      System.err.println(error.getMessage());
      System.exit(1);
    }
  }

  private static void ask(SidecardClient client, String question) {
    GenerateResponse reply =
        client.generate(
            GenerateRequest.newBuilder()
                .setPrompt(question)
                .setSystem("Answer in one sentence.")
                .build());
    System.out.printf(
        "%s%n  (%s, %d tokens)%n",
        reply.getText(), reply.getSource(), reply.getUsage().getOutputTokens());
    GenerateRequest further =
        GenerateRequest.newBuilder()
            .addMessages(user(question))
            .addMessages(assistant(reply.getContentList()))
            .addMessages(user("Say it in five words."))
            .build();
    try (SidecardStream stream = client.stream(further)) {
      stream.pieces().forEach(System.out::print);
      System.out.printf("%n  (stopped at %s)%n", stream.response().getStopReason());
    }
  }
}
