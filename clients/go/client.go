// Package sidecard asks the sidecard daemon beside you:
//
//	client, err := sidecard.New(sidecard.Options{})
//	…
//	reply, err := client.Generate(ctx, sidecard.Prompt("Why is the sky blue?"))
//
// Requests and replies are the contract's own messages, in sidecard.dev/sidecard/v1.
package sidecard

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	sidecardv1 "sidecard.dev/sidecard/v1"
)

// DefaultAddress is where the daemon serves unless it is told otherwise.
const DefaultAddress = "127.0.0.1:7411"

// Options are what a client is told once, for all its calls. The zero value serves.
type Options struct {
	// Address is host:port or unix:///path. Default: $SIDECARD_ADDRESS, or DefaultAddress.
	Address string
	// Timeout is the most that a call takes whose context has no deadline.
	// Default: the daemon's own limit.
	Timeout time.Duration
	// Tenant is whom the calls are for that don't say. Default: the daemon's "default".
	Tenant string
	// Token is shown to a daemon that wants one. Default: $SIDECARD_TOKEN.
	Token string
	// TLS encrypts, for a daemon with listen.tls. Default: nothing is encrypted.
	TLS *tls.Config
	// WaitForReady is how long the first call waits for a daemon that is still starting,
	// in addition to Timeout. Default: not at all.
	WaitForReady time.Duration
}

// Client calls the daemon over one connection. It is safe to share between goroutines.
type Client struct {
	options Options
	conn    *grpc.ClientConn
	stub    sidecardv1.GenerationServiceClient
	ready   atomic.Bool
}

// New returns a client, which connects at its first call. It fails for another kind of address.
func New(options Options) (*Client, error) {
	if options.Address == "" {
		options.Address = os.Getenv("SIDECARD_ADDRESS")
	}
	if options.Address == "" {
		options.Address = DefaultAddress
	}
	if options.Token == "" {
		options.Token = os.Getenv("SIDECARD_TOKEN")
	}
	options.Token = strings.TrimSpace(options.Token) // A file that holds it ends in a newline.
	if strings.Contains(options.Address, "://") && !strings.HasPrefix(options.Address, "unix:///") {
		return nil, fmt.Errorf("%q is neither host:port nor unix:///path", options.Address)
	}
	conn, err := grpc.NewClient(options.Address, dialOptions(options.TLS)...)
	if err != nil {
		return nil, fmt.Errorf("%q is neither host:port nor unix:///path: %w", options.Address, err)
	}
	return &Client{options: options, conn: conn, stub: sidecardv1.NewGenerationServiceClient(conn)}, nil
}

// Close closes the connection; running calls are cancelled.
func (c *Client) Close() error { return c.conn.Close() }

// Generate returns the whole answer. An error is an *Error, or ctx's if the caller left.
func (c *Client) Generate(
	ctx context.Context, request *sidecardv1.GenerateRequest,
) (*sidecardv1.GenerateResponse, error) {
	call, cancel, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	response, err := c.stub.Generate(call.ctx, c.asked(request))
	return response, call.meaning(err, "")
}

// CountTokens returns how many tokens of input the request has. It fails as Generate does.
func (c *Client) CountTokens(
	ctx context.Context, request *sidecardv1.GenerateRequest,
) (int64, error) {
	call, cancel, err := c.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	wrapped := &sidecardv1.CountTokensRequest{Request: c.asked(request)}
	response, err := c.stub.CountTokens(call.ctx, wrapped)
	return response.GetInputTokens(), call.meaning(err, "")
}

type requestIDKey struct{}

// WithRequestID has the calls of a context carry this id, which is in the daemon's log too:
// 1 to 128 of a-z, A-Z, 0-9 and ._:/+=@-. Without it, each call has one made.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// call is what one call goes by: who asked, and under which id.
type call struct {
	ctx       context.Context
	requestID string
	address   string
}

// begin waits for the daemon if it is to, and returns a call's context, with its end.
func (c *Client) begin(ctx context.Context) (*call, context.CancelFunc, error) {
	id, _ := ctx.Value(requestIDKey{}).(string)
	if id == "" {
		random := make([]byte, 8)
		_, _ = rand.Read(random) // It never fails: see its documentation.
		id = hex.EncodeToString(random)
	}
	begun := &call{ctx: ctx, requestID: id, address: c.options.Address}
	for _, given := range [][2]string{{"request_id", id}, {"token", c.options.Token}} {
		if strings.ContainsFunc(given[1], func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, nil, begun.invalid(given[0], "has characters that no header can hold")
		}
	}
	if err := c.wait(begun); err != nil {
		return nil, nil, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
	if token := c.options.Token; token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	cancel := context.CancelFunc(func() {})
	if _, limited := ctx.Deadline(); !limited && c.options.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.options.Timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	begun.ctx = ctx
	return begun, cancel, nil
}

// wait returns once the daemon takes connections, at the first call of a client that is to wait.
func (c *Client) wait(begun *call) error {
	if c.options.WaitForReady <= 0 || c.ready.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(begun.ctx, c.options.WaitForReady)
	defer cancel()
	for state := c.conn.GetState(); state != connectivity.Ready; state = c.conn.GetState() {
		c.conn.Connect()
		if !c.conn.WaitForStateChange(ctx, state) {
			if err := begun.ctx.Err(); err != nil {
				return begun.left(err, "")
			}
			waited := fmt.Sprintf("waited %g s", c.options.WaitForReady.Seconds())
			return begun.absent(waited, "")
		}
	}
	c.ready.Store(true)
	return nil
}

// asked returns the request with the client's own defaults; the caller's stays as it is.
func (c *Client) asked(request *sidecardv1.GenerateRequest) *sidecardv1.GenerateRequest {
	if c.options.Tenant == "" || request.GetTenant() != "" {
		return request
	}
	request = proto.CloneOf(request)
	request.Tenant = c.options.Tenant
	return request
}
