package sidecard

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc/codes"

	sidecardv1 "sidecard.dev/sidecard/v1"
)

// errUnread is the error of a stream that was not, or not wholly, read.
var errUnread = errors.New("the stream was not read to its end")

// Stream is the answer to one call as it comes. It is for one goroutine, and read once.
type Stream struct {
	client   *Client
	ctx      context.Context
	request  *sidecardv1.GenerateRequest
	begun    bool
	progress progress
	response *sidecardv1.GenerateResponse
	err      error
}

// Stream returns the answer as it comes. Nothing is sent before it is read.
func (c *Client) Stream(ctx context.Context, request *sidecardv1.GenerateRequest) *Stream {
	return &Stream{client: c, ctx: ctx, request: request, err: errUnread}
}

// Events are the stream's events in order. A loop that just ends has had a whole answer;
// anything else comes as an error, after which there is nothing more.
// Leaving the loop cancels the call.
func (s *Stream) Events() iter.Seq2[*sidecardv1.StreamEvent, error] {
	return func(yield func(*sidecardv1.StreamEvent, error) bool) {
		if s.begun {
			yield(nil, errors.New("the stream has been read already"))
			return
		}
		s.begun = true
		if err := s.read(func(event *sidecardv1.StreamEvent) bool { return yield(event, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// Text is the text alone, piece by piece, as Events has it.
// After a restarted event, which Events shows, the text begins anew.
func (s *Stream) Text() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range s.Events() {
			if piece := event.GetTextDelta(); err != nil || piece != "" {
				if !yield(piece, err) {
					return
				}
			}
		}
	}
}

// PartialText is all text that came so far; an answer only where Response has one.
func (s *Stream) PartialText() string { return s.progress.text() }

// Response is the whole answer, as Generate gives it, once the stream was read to its end.
func (s *Stream) Response() (*sidecardv1.GenerateResponse, error) { return s.response, s.err }

// read hands on each event until the end, or until the reader leaves, which is no error.
func (s *Stream) read(take func(*sidecardv1.StreamEvent) bool) error {
	call, cancel, err := s.client.begin(s.ctx)
	if err != nil {
		s.err = err
		return err
	}
	defer cancel()
	messages, err := s.client.stub.StreamGenerate(call.ctx, s.client.asked(s.request))
	var last *sidecardv1.GenerateResponse
	for err == nil {
		var message *sidecardv1.StreamGenerateResponse
		if message, err = messages.Recv(); err != nil {
			break
		}
		for _, event := range message.GetEvents() {
			s.progress.fold(event)
		}
		if message.GetResponse() != nil {
			last = message.GetResponse()
		}
		for _, event := range message.GetEvents() {
			if !take(event) {
				return nil
			}
		}
	}
	s.err = s.ended(call, last, err)
	return s.err
}

// ended judges how the stream ended: gRPC's OK is a whole answer only after the last message.
func (s *Stream) ended(call *call, last *sidecardv1.GenerateResponse, err error) error {
	if !errors.Is(err, io.EOF) {
		return call.meaning(err, s.progress.text())
	}
	if last == nil {
		message := "the stream ended before the answer was whole"
		return call.failed(UpstreamInterrupted, codes.Unknown, message, s.progress.text())
	}
	s.response = s.progress.whole(last)
	return nil
}
