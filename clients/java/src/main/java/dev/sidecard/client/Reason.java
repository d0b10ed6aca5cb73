package dev.sidecard.client;

/** The ways a call can fail; the names are the daemon's. */
public enum Reason {
  /** The request breaks a rule: the violations name the fields. */
  INVALID_CALL,
  /** The daemon wants a token, or another one. */
  UNAUTHENTICATED,
  /** The token is for another tenant. */
  PERMISSION_DENIED,
  /** The call wanted a cached answer alone, and there is none. */
  NOT_CACHED,
  /** The daemon has no room for the call, or its deadline can't be met. */
  OVERLOADED,
  /** A budget has no room for the call: the violations name it. */
  BUDGET_EXHAUSTED,
  /** The daemon's own rate limit would make the call wait too long. */
  RATE_LIMITED,
  /** The target failed so often that it is left alone for a while. */
  BREAKER_OPEN,
  /** The call's time was over before its answer was whole. */
  DEADLINE_EXCEEDED,
  /** The daemon ends, and the call wasn't done in time: another daemon may take it. */
  SHUTTING_DOWN,
  /** The upstream limits the rate (429). */
  UPSTREAM_THROTTLED,
  /** The upstream is down, out of reach or too slow. */
  UPSTREAM_UNAVAILABLE,
  /** The upstream finds the request itself at fault. */
  UPSTREAM_REFUSED,
  /** Key, permission, billing or model name: the daemon's operator has to act. */
  UPSTREAM_MISCONFIGURED,
  /** The answer broke off; the partial text is what came, and not an answer. */
  UPSTREAM_INTERRUPTED,
  /** The model's output doesn't satisfy the schema: the violations say where. */
  INVALID_OUTPUT,
  /** No daemon answers at the address, or it went away. */
  UNAVAILABLE,
  /** One that this version doesn't know: {@link SidecardException#reasonName()} has it. */
  OTHER;

  static Reason of(String name) {
    for (Reason reason : values()) {
      if (reason.name().equals(name)) {
        return reason;
      }
    }
    return OTHER;
  }
}
