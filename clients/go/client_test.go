package sidecard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	sidecardv1 "sidecard.dev/sidecard/v1"
)

// The vectors of clients/conformance say how calls go; these tests say what is Go's own.

// daemon echoes a prompt, and streams it letter by letter until the caller leaves.
type daemon struct {
	sidecardv1.UnimplementedGenerationServiceServer
	left chan struct{}
}

func (d *daemon) Generate(
	_ context.Context, request *sidecardv1.GenerateRequest,
) (*sidecardv1.GenerateResponse, error) {
	return &sidecardv1.GenerateResponse{Text: request.Prompt}, nil
}

func (d *daemon) StreamGenerate(
	request *sidecardv1.GenerateRequest, stream sidecardv1.GenerationService_StreamGenerateServer,
) error {
	start := &sidecardv1.StreamEvent{Event: &sidecardv1.StreamEvent_BlockStarted{BlockStarted: Text("")}}
	events := []*sidecardv1.StreamEvent{start}
	for _, letter := range request.Prompt {
		delta := &sidecardv1.StreamEvent_TextDelta{TextDelta: string(letter)}
		events = append(events, &sidecardv1.StreamEvent{Event: delta})
	}
	if err := stream.Send(&sidecardv1.StreamGenerateResponse{Events: events}); err != nil {
		return err
	}
	<-stream.Context().Done()
	close(d.left)
	return stream.Context().Err()
}

func serve(t *testing.T) (*Client, *daemon) {
	t.Helper()
	return serveWith(t, nil)
}

func serveWith(
	t *testing.T, config *tls.Config, options ...grpc.ServerOption,
) (*Client, *daemon) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := &daemon{left: make(chan struct{})}
	server := grpc.NewServer(options...)
	sidecardv1.RegisterGenerationServiceServer(server, served)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client, err := New(Options{Address: listener.Addr().String(), TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, served
}

func TestTLSIsSpokenAndChecked(t *testing.T) {
	const folder = "../../tests/support/tls/"
	pair, err := tls.LoadX509KeyPair(folder+"certificate.pem", folder+"key.pem")
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(folder + "certificate.pem")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(known)
	encrypted := grpc.Creds(credentials.NewServerTLSFromCert(&pair))
	client, _ := serveWith(t, &tls.Config{RootCAs: roots}, encrypted)
	reply, err := client.Generate(context.Background(), Prompt("abc"))
	if err != nil || reply.Text != "abc" {
		t.Fatal(reply, err)
	}
	stranger, _ := serveWith(t, &tls.Config{RootCAs: x509.NewCertPool()}, encrypted)
	if _, err := stranger.Generate(context.Background(), Prompt("abc")); err == nil {
		t.Fatal("a certificate that nobody vouches for is believed")
	}
}

func TestLeavingTheLoopCancelsTheCall(t *testing.T) {
	client, served := serve(t)
	stream := client.Stream(context.Background(), Prompt("abc"))
	for piece, err := range stream.Text() {
		if err != nil || piece != "a" {
			t.Fatal(piece, err)
		}
		break
	}
	select {
	case <-served.left:
	case <-time.After(5 * time.Second):
		t.Fatal("the call goes on")
	}
	if response, err := stream.Response(); response != nil || !errors.Is(err, errUnread) {
		t.Errorf("a stream that was left has an answer: %v, %v", response, err)
	}
	for _, err := range stream.Events() {
		if err == nil {
			t.Error("a stream is read twice")
		}
	}
}

func TestACancelledContextIsTheError(t *testing.T) {
	client, _ := serve(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var failed error
	for _, err := range client.Stream(ctx, Prompt("a")).Text() {
		cancel()
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("got %v", failed)
	}
}

func TestADeadlineIsBothOursAndGos(t *testing.T) {
	client, _ := serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var failed error
	for _, err := range client.Stream(ctx, Prompt("ab")).Events() {
		failed = err
	}
	var typed *Error
	if !errors.Is(failed, DeadlineExceeded) || !errors.Is(failed, context.DeadlineExceeded) ||
		!errors.As(failed, &typed) || typed.PartialText != "ab" ||
		status.Code(failed) != codes.DeadlineExceeded {
		t.Errorf("got %v", failed)
	}
}

func TestAClientIsSharedBetweenGoroutines(t *testing.T) {
	client, _ := serve(t)
	client.options.WaitForReady = 5 * time.Second
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if reply, err := client.Generate(t.Context(), Prompt("x")); err != nil || reply.Text != "x" {
				t.Error(reply, err)
			}
		})
	}
	group.Wait()
}

func TestTheRequestOfTheCallerStaysAsItIs(t *testing.T) {
	client, _ := serve(t)
	client.options.Tenant = "team-a"
	request := Prompt("x")
	if _, err := client.Generate(t.Context(), request); err != nil || request.Tenant != "" {
		t.Error(request, err)
	}
}

func TestTheAddress(t *testing.T) {
	t.Setenv("SIDECARD_ADDRESS", "unix:///run/sidecard.sock")
	for given, expected := range map[string]string{
		"":                "unix:///run/sidecard.sock",
		"localhost:7411":  "localhost:7411",
		"unix:///a/b":     "unix:///a/b",
		"http://a:1":      "",
		"unix://relative": "",
	} {
		client, err := New(Options{Address: given})
		if expected == "" {
			if err == nil {
				t.Errorf("%q is taken", given)
			}
			continue
		}
		if err != nil || client.options.Address != expected {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestAnErrorNamesReasonRequestAndDelay(t *testing.T) {
	after := 1500 * time.Millisecond
	err := &Error{Reason: RateLimited, Message: "wait", RequestID: "r", RetryAfter: &after}
	if err.Error() != "RATE_LIMITED: wait (request r, retry after 1.5 s)" {
		t.Error(err)
	}
	if errors.Is(err, BreakerOpen) || !errors.Is(err, RateLimited) {
		t.Error("errors.Is doesn't go by the reason")
	}
}
