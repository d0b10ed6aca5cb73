package sidecard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sidecard.dev/sidecard/internal/code"
)

const domain = "sidecard.dev"

// Reason is the stable name of a way to fail: errors.Is(err, sidecard.UpstreamThrottled).
// One that this version doesn't know comes as the daemon wrote it.
type Reason string

// The daemon's reasons.
const (
	// InvalidCall: the request breaks a rule; Violations name the fields.
	InvalidCall Reason = "INVALID_CALL"
	// Unauthenticated: the daemon wants a token, or another one.
	Unauthenticated Reason = "UNAUTHENTICATED"
	// PermissionDenied: the token is for another tenant.
	PermissionDenied Reason = "PERMISSION_DENIED"
	// NotCached: the call wanted a cached answer alone, and there is none.
	NotCached Reason = "NOT_CACHED"
	// Overloaded: the daemon has no room for the call, or its deadline can't be met.
	Overloaded Reason = "OVERLOADED"
	// BudgetExhausted: a budget has no room for the call; Violations name it.
	BudgetExhausted Reason = "BUDGET_EXHAUSTED"
	// RateLimited: the daemon's own rate limit would make the call wait too long.
	RateLimited Reason = "RATE_LIMITED"
	// BreakerOpen: the target failed so often that it is left alone for a while.
	BreakerOpen Reason = "BREAKER_OPEN"
	// DeadlineExceeded: the call's time was over before its answer was whole.
	DeadlineExceeded Reason = "DEADLINE_EXCEEDED"
	// ShuttingDown: the daemon ends, and the call wasn't done in time.
	ShuttingDown Reason = "SHUTTING_DOWN"
	// UpstreamThrottled: the upstream limits the rate (429).
	UpstreamThrottled Reason = "UPSTREAM_THROTTLED"
	// UpstreamUnavailable: the upstream is down, out of reach or too slow.
	UpstreamUnavailable Reason = "UPSTREAM_UNAVAILABLE"
	// UpstreamRefused: the upstream finds the request itself at fault.
	UpstreamRefused Reason = "UPSTREAM_REFUSED"
	// UpstreamMisconfigured: key, permission, billing or model name: the operator has to act.
	UpstreamMisconfigured Reason = "UPSTREAM_MISCONFIGURED"
	// UpstreamInterrupted: the answer broke off; PartialText is what came, and not an answer.
	UpstreamInterrupted Reason = "UPSTREAM_INTERRUPTED"
	// InvalidOutput: the model's output doesn't satisfy the schema; Violations say where.
	InvalidOutput Reason = "INVALID_OUTPUT"
	// Unavailable: no daemon answers at the address, or it went away.
	Unavailable Reason = "UNAVAILABLE"
)

// Error makes a reason what errors.Is looks for.
func (r Reason) Error() string { return string(r) }

// Violation is one thing wrong with a request: the field's path in the contract, and what to do.
type Violation struct{ Field, Description string }

// Error is a failed call. Nothing is sent again by itself.
type Error struct {
	Reason  Reason
	Code    codes.Code
	Message string
	// RetryAfter is after how long trying again makes sense; nil if nobody said.
	RetryAfter *time.Duration
	// RequestID is in the daemon's log too, Target is where it failed.
	RequestID, Target string
	// Attempts are how many were made.
	Attempts int
	// Violations are what is wrong with the request.
	Violations []Violation
	// PartialText is what a stream had delivered; of an invalid output, its beginning.
	PartialText string
}

func (e *Error) Error() string {
	notes := []string{}
	if e.RequestID != "" {
		notes = append(notes, "request "+e.RequestID)
	}
	if e.RetryAfter != nil {
		notes = append(notes, fmt.Sprintf("retry after %g s", e.RetryAfter.Seconds()))
	}
	text := string(e.Reason) + ": " + e.Message
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

// Is holds for the error's reason, and for context.DeadlineExceeded where that is it.
func (e *Error) Is(target error) bool {
	if target == context.DeadlineExceeded {
		return e.Reason == DeadlineExceeded
	}
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// GRPCStatus lets status.Code tell the error's code.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// meaning returns what gRPC's error means; nil for nil.
func (c *call) meaning(err error, partial string) error {
	if err == nil {
		return nil
	}
	if left := c.ctx.Err(); errors.Is(left, context.Canceled) {
		return left
	}
	said := status.Convert(err)
	found := &Error{
		Code: said.Code(), Message: said.Message(), RequestID: c.requestID, PartialText: partial,
	}
	for _, detail := range said.Details() {
		found.take(detail)
	}
	switch {
	case found.Reason != "":
		return found
	case said.Code() == codes.Unavailable || said.Code() == codes.Canceled:
		return c.absent(said.Message(), partial)
	case said.Code() == codes.DeadlineExceeded:
		return c.left(context.DeadlineExceeded, partial)
	}
	found.Reason = Reason(code.Name(said.Code()))
	return found
}

// left returns the error for a context that is over.
func (c *call) left(err error, partial string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	message := "the timeout passed before the answer was whole"
	return c.failed(DeadlineExceeded, codes.DeadlineExceeded, message, partial)
}

// absent says that no daemon answers, and how to have one.
func (c *call) absent(details, partial string) error {
	message := fmt.Sprintf("no sidecard daemon answers at %s: `sidecard serve` starts one, "+
		"SIDECARD_ADDRESS says where it is [%s]", c.address, details)
	return c.failed(Unavailable, codes.Unavailable, message, partial)
}

// invalid is the error for what can't even be sent.
func (c *call) invalid(field, why string) error {
	return &Error{
		Reason: InvalidCall, Code: codes.InvalidArgument, Message: field + ": " + why,
		RequestID: c.requestID, Violations: []Violation{{field, why}},
	}
}

func (c *call) failed(reason Reason, status codes.Code, message, partial string) error {
	return &Error{
		Reason: reason, Code: status, Message: message, RequestID: c.requestID, PartialText: partial,
	}
}

// take reads one of the google.rpc details that came with the status.
func (e *Error) take(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() != domain {
			return
		}
		e.Reason = Reason(detail.GetReason())
		known := detail.GetMetadata()
		e.Target = known["target"]
		e.Attempts, _ = strconv.Atoi(known["attempts"])
		if id := known["request_id"]; id != "" {
			e.RequestID = id
		}
	case *errdetails.RetryInfo:
		delay := detail.GetRetryDelay().AsDuration()
		e.RetryAfter = &delay
	case *errdetails.BadRequest:
		for _, v := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
		}
	case *errdetails.DebugInfo:
		if e.PartialText == "" {
			e.PartialText = detail.GetDetail()
		}
	case *errdetails.QuotaFailure:
		for _, v := range detail.GetViolations() {
			e.Violations = append(e.Violations, Violation{v.GetSubject(), v.GetDescription()})
		}
	}
}
