package dev.sidecard.client;

import io.grpc.Status;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** A call failed. Nothing is sent again by itself. */
public final class SidecardException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** One thing wrong with a request: the field's path in the contract, and what to do. */
  public record Violation(String field, String description) implements Serializable {}

  /** What is known of a failed call; {@code retryAfter} is null if nobody said. */
  @SuppressWarnings("serial") // The list that `List.copyOf` makes is serializable.
  record Facts(
      String reasonName,
      Status.Code code,
      String details,
      Duration retryAfter,
      String requestId,
      String target,
      int attempts,
      List<Violation> violations,
      String partialText)
      implements Serializable {}

  private final Facts facts;

  SidecardException(Facts facts, Throwable cause) {
    super(sentence(facts), cause);
    this.facts = facts;
  }

  /** Why it failed. */
  public Reason reason() {
    return Reason.of(facts.reasonName());
  }

  /** The reason as the daemon wrote it, also where this version doesn't know it. */
  public String reasonName() {
    return facts.reasonName();
  }

  /** gRPC's code. */
  public Status.Code code() {
    return facts.code();
  }

  /** What is wrong, without the reason. */
  public String details() {
    return facts.details();
  }

  /** After how long trying again makes sense, if anybody said. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(facts.retryAfter());
  }

  /** The call's id, in the daemon's log too. */
  public String requestId() {
    return facts.requestId();
  }

  /** Where it failed; empty if nowhere. */
  public String target() {
    return facts.target();
  }

  /** How many attempts were made. */
  public int attempts() {
    return facts.attempts();
  }

  /** What is wrong with the request. */
  public List<Violation> violations() {
    return facts.violations();
  }

  /** What a stream had delivered; of an invalid output, its beginning. */
  public String partialText() {
    return facts.partialText();
  }

  private static String sentence(Facts facts) {
    String sentence = facts.reasonName() + ": " + facts.details();
    if (!facts.requestId().isEmpty()) {
      sentence += " (request " + facts.requestId() + ")";
    }
    if (facts.retryAfter() != null) {
      sentence += " (retry after " + facts.retryAfter().toMillis() / 1000.0 + " s)";
    }
    return sentence;
  }
}
