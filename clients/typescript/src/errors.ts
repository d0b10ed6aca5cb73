/** Every way a call can fail, by its reason; the reasons are the daemon's. */

import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  DebugInfoSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from "./contract/google/rpc/error_details_pb.js";
import { StatusSchema } from "./contract/google/rpc/status_pb.js";

/** The stable name of a way to fail. One that this version doesn't know is a text as well. */
export type Reason =
  | "INVALID_CALL" // The request breaks a rule: `violations` name the fields.
  | "UNAUTHENTICATED" // The daemon wants a token, or another one.
  | "PERMISSION_DENIED" // The token is for another tenant.
  | "NOT_CACHED" // The call wanted a cached answer alone, and there is none.
  | "OVERLOADED" // The daemon has no room for the call, or its deadline can't be met.
  | "BUDGET_EXHAUSTED" // A budget has no room for the call: `violations` name it.
  | "RATE_LIMITED" // The daemon's own rate limit would make the call wait too long.
  | "BREAKER_OPEN" // The target failed so often that it is left alone for a while.
  | "DEADLINE_EXCEEDED" // The call's time was over before its answer was whole.
  | "SHUTTING_DOWN" // The daemon ends, and the call wasn't done in time.
  | "UPSTREAM_THROTTLED" // The upstream limits the rate (429).
  | "UPSTREAM_UNAVAILABLE" // The upstream is down, out of reach or too slow.
  | "UPSTREAM_REFUSED" // The upstream finds the request itself at fault.
  | "UPSTREAM_MISCONFIGURED" // Key, permission, billing or model name: the operator has to act.
  | "UPSTREAM_INTERRUPTED" // The answer broke off; `partialText` is what came, and not an answer.
  | "INVALID_OUTPUT" // The model's output doesn't satisfy the schema: `violations` say where.
  | "UNAVAILABLE" // No daemon answers at the address, or it went away.
  | (string & {});

/** One thing wrong with a request: the field's path in the contract, and what to do. */
export interface Violation {
  field: string;
  description: string;
}

/** What is known of a failed call. */
export interface Facts {
  /** gRPC's code. */
  code: status;
  /** Milliseconds after which trying again makes sense, if anybody said. */
  retryAfterMs?: number;
  /** In the daemon's log too. */
  requestId: string;
  /** Where it failed. */
  target: string;
  /** How many attempts were made. */
  attempts: number;
  /** What is wrong with the request. */
  violations: Violation[];
  /** What a stream had delivered; of an invalid output, its beginning. */
  partialText: string;
}

/** A call failed. Nothing is sent again by itself. */
export class SidecardError extends Error implements Facts {
  override readonly name = "SidecardError";
  readonly reason: Reason;
  /** What is wrong, without the reason. */
  readonly details: string;
  readonly code: status;
  readonly retryAfterMs?: number;
  readonly requestId: string;
  readonly target: string;
  readonly attempts: number;
  readonly violations: Violation[];
  readonly partialText: string;

  constructor(reason: Reason, details: string, facts: Partial<Facts> = {}) {
    const notes = [];
    if (facts.requestId) notes.push(`request ${facts.requestId}`);
    if (facts.retryAfterMs !== undefined) notes.push(`retry after ${facts.retryAfterMs / 1000} s`);
    super(`${reason}: ${details}${notes.length ? ` (${notes.join(", ")})` : ""}`);
    this.reason = reason;
    this.details = details;
    this.code = facts.code ?? status.UNKNOWN;
    if (facts.retryAfterMs !== undefined) this.retryAfterMs = facts.retryAfterMs;
    this.requestId = facts.requestId ?? "";
    this.target = facts.target ?? "";
    this.attempts = facts.attempts ?? 0;
    this.violations = facts.violations ?? [];
    this.partialText = facts.partialText ?? "";
  }
}

/** What gRPC's error means. Where the daemon didn't say, gRPC's code decides. */
export function typed(
  error: ServiceError,
  call: { address: string; requestId: string },
  partialText = "",
): SidecardError {
  const { code, details } = error;
  const common = { code, requestId: call.requestId, partialText };
  const { reason, ...said } = read(error.metadata?.get("grpc-status-details-bin")[0]);
  const streamed = partialText && { partialText };
  if (reason) return new SidecardError(reason, details, { ...common, ...said, ...streamed });
  if (code === status.UNAVAILABLE || code === status.CANCELLED) {
    return absent(call, details, partialText);
  }
  if (code === status.DEADLINE_EXCEEDED) {
    return new SidecardError(
      "DEADLINE_EXCEEDED",
      "the timeout passed before the answer was whole",
      common,
    );
  }
  return new SidecardError(status[code] ?? String(code), details, common);
}

/** The error for what can't even be sent. */
export function invalid(field: string, requestId: string): SidecardError {
  const description = "has characters that no header can hold";
  return new SidecardError("INVALID_CALL", `${field}: ${description}`, {
    code: status.INVALID_ARGUMENT,
    requestId,
    violations: [{ field, description }],
  });
}

/** Says that no daemon answers, and how to have one. */
export function absent(
  call: { address: string; requestId: string },
  details: string,
  partialText = "",
): SidecardError {
  const advice = "`sidecard serve` starts one, SIDECARD_ADDRESS says where it is";
  const message = `no sidecard daemon answers at ${call.address}: ${advice} [${details}]`;
  const code = status.UNAVAILABLE;
  return new SidecardError("UNAVAILABLE", message, {
    code,
    requestId: call.requestId,
    partialText,
  });
}

type Said = Partial<Facts> & { reason?: Reason };

/** The facts that a serialized google.rpc.Status gives; none if it is broken. */
function read(serialized: string | Buffer | undefined): Said {
  if (!(serialized instanceof Buffer)) return {};
  try {
    const found = fromBinary(StatusSchema, serialized).details.map(detail);
    return Object.assign({}, ...found);
  } catch {
    return {};
  }
}

function detail(packed: Any): Said {
  const info = anyUnpack(packed, ErrorInfoSchema);
  if (info?.domain === "sidecard.dev") {
    const { request_id: requestId, target, attempts } = info.metadata;
    return {
      reason: info.reason,
      attempts: Number(attempts) || 0,
      ...(requestId && { requestId }),
      ...(target && { target }),
    };
  }
  const delay = anyUnpack(packed, RetryInfoSchema)?.retryDelay;
  if (delay) return { retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 };
  const fields = anyUnpack(packed, BadRequestSchema)?.fieldViolations;
  if (fields) {
    return { violations: fields.map(({ field, description }) => ({ field, description })) };
  }
  const answer = anyUnpack(packed, DebugInfoSchema)?.detail;
  if (answer) return { partialText: answer };
  const budgets = anyUnpack(packed, QuotaFailureSchema)?.violations;
  if (budgets) {
    return { violations: budgets.map((v) => ({ field: v.subject, description: v.description })) };
  }
  return {};
}
