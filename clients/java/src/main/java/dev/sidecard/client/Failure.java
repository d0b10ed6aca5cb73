package dev.sidecard.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.DebugInfo;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import dev.sidecard.client.SidecardException.Facts;
import dev.sidecard.client.SidecardException.Violation;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** From a failed RPC to a {@link SidecardException}: reads the google.rpc details with it. */
final class Failure {
  private final String address;
  private String requestId;
  private String reason = "";
  private String target = "";
  private int attempts;
  private String answer = "";
  private Duration retryAfter;
  private final List<Violation> violations = new ArrayList<>();

  private Failure(String address, String requestId) {
    this.address = address;
    this.requestId = requestId;
  }

  /** What gRPC's error means. Where the daemon didn't say, gRPC's code decides. */
  static SidecardException of(
      StatusRuntimeException error, String address, String requestId, String partialText) {
    Failure failure = new Failure(address, requestId);
    failure.read(error);
    Status.Code code = error.getStatus().getCode();
    String description = error.getStatus().getDescription();
    return failure.exception(code, description == null ? "" : description, partialText, error);
  }

  /** No daemon answers; the error says how to have one. */
  static SidecardException absent(String address, String requestId, String details) {
    return new Failure(address, requestId).exception(Status.Code.UNAVAILABLE, details, "", null);
  }

  /** It can't even be sent. */
  static SidecardException invalid(String requestId, String field, String description) {
    Failure failure = new Failure("", requestId);
    failure.reason = Reason.INVALID_CALL.name();
    failure.violations.add(new Violation(field, description));
    String details = field + ": " + description;
    return failure.exception(Status.Code.INVALID_ARGUMENT, details, "", null);
  }

  /** gRPC's OK came before the answer was whole. */
  static SidecardException cutOff(String requestId, String partialText) {
    Failure failure = new Failure("", requestId);
    failure.reason = Reason.UPSTREAM_INTERRUPTED.name();
    String details = "the stream ended before the answer was whole";
    return failure.exception(Status.Code.UNKNOWN, details, partialText, null);
  }

  private SidecardException exception(
      Status.Code code, String details, String partialText, Throwable cause) {
    if (reason.isEmpty()) {
      switch (code) {
        case UNAVAILABLE, CANCELLED -> {
          code = Status.Code.UNAVAILABLE;
          details = withCause(details, cause);
          details =
              "no sidecard daemon answers at %s: `sidecard serve` starts one, SIDECARD_ADDRESS says where it is [%s]"
                  .formatted(address, details);
        }
        case DEADLINE_EXCEEDED -> details = "the timeout passed before the answer was whole";
        default -> {}
      }
      reason = code.name();
    }
    Facts facts =
        new Facts(
            reason,
            code,
            details,
            retryAfter,
            requestId,
            target,
            attempts,
            List.copyOf(violations),
            partialText.isEmpty() ? answer : partialText);
    return new SidecardException(facts, cause);
  }

  /** With what led to it, as a certificate that isn't believed. */
  private static String withCause(String details, Throwable cause) {
    Throwable innermost = cause;
    while (innermost != null && innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    return innermost == cause ? details : details.lines().findFirst().orElse("") + ": " + innermost;
  }

  private void read(StatusRuntimeException error) {
    try {
      com.google.rpc.Status status = StatusProto.fromThrowable(error);
      for (Any detail : status == null ? List.<Any>of() : status.getDetailsList()) {
        take(detail);
      }
    } catch (InvalidProtocolBufferException | RuntimeException broken) {
      reason = ""; // What can't be read doesn't say why: gRPC's code does.
    }
  }

  private void take(Any detail) throws InvalidProtocolBufferException {
    if (detail.is(ErrorInfo.class)) {
      ErrorInfo info = detail.unpack(ErrorInfo.class);
      if (info.getDomain().equals("sidecard.dev")) {
        Map<String, String> known = info.getMetadataMap();
        reason = info.getReason();
        target = known.getOrDefault("target", "");
        attempts = Integer.parseInt(known.getOrDefault("attempts", "0"));
        requestId = known.getOrDefault("request_id", requestId);
      }
    } else if (detail.is(RetryInfo.class)) {
      com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
      retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
    } else if (detail.is(BadRequest.class)) {
      for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
        violations.add(new Violation(violation.getField(), violation.getDescription()));
      }
    } else if (detail.is(DebugInfo.class)) {
      answer = detail.unpack(DebugInfo.class).getDetail();
    } else if (detail.is(QuotaFailure.class)) {
      for (var violation : detail.unpack(QuotaFailure.class).getViolationsList()) {
        violations.add(new Violation(violation.getSubject(), violation.getDescription()));
      }
    }
  }
}
