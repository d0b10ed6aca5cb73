// The conformance driver of the Go client: makes calls as it is told, and reports them.
// clients/conformance/README.md has the protocol.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"sidecard.dev/sidecard"
	"sidecard.dev/sidecard/internal/code"
	sidecardv1 "sidecard.dev/sidecard/v1"
)

type settings struct {
	Address      string  `json:"address"`
	Tenant       string  `json:"tenant"`
	Token        string  `json:"token"`
	Timeout      float64 `json:"client_timeout_s"`
	WaitForReady float64 `json:"wait_for_ready_s"`
	TLS          files   `json:"tls"`
}

type files struct {
	CA   string `json:"ca_file"`
	Cert string `json:"cert_file"`
	Key  string `json:"key_file"`
}

type job struct {
	settings
	Method      string  `json:"method"`
	Request     []byte  `json:"request"`
	RequestID   string  `json:"request_id"`
	CallTimeout float64 `json:"timeout_s"`
	Leave       *struct {
		AfterPieces *int    `json:"after_pieces"`
		After       float64 `json:"after_s"`
	} `json:"leave"`
}

type report map[string]any

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked job
		if err := json.Unmarshal(line, &asked); err != nil {
			log.Fatal(err)
		}
		answer, err := do(asked)
		if err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}

var clients = map[settings]*sidecard.Client{}

// told returns the client that is told this, the same one each time.
func told(how settings) (*sidecard.Client, error) {
	if client := clients[how]; client != nil {
		return client, nil
	}
	config, err := how.TLS.config()
	if err != nil {
		return nil, err
	}
	client, err := sidecard.New(sidecard.Options{
		TLS:          config,
		Address:      how.Address,
		Tenant:       how.Tenant,
		Token:        how.Token,
		Timeout:      seconds(how.Timeout),
		WaitForReady: seconds(how.WaitForReady),
	})
	clients[how] = client
	return client, err
}

// config returns what those files say; nil for none.
func (f files) config() (*tls.Config, error) {
	if f == (files{}) {
		return nil, nil
	}
	issuers, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(issuers)
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func do(asked job) (report, error) {
	client, err := told(asked.settings)
	if err != nil {
		return nil, err
	}
	request := &sidecardv1.GenerateRequest{}
	if err := proto.Unmarshal(asked.Request, request); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(sidecard.WithRequestID(context.Background(), asked.RequestID))
	defer cancel()
	if asked.CallTimeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, seconds(asked.CallTimeout))
		defer cancel()
	}
	if asked.Leave != nil && asked.Leave.After > 0 {
		time.AfterFunc(seconds(asked.Leave.After), cancel)
	}
	switch asked.Method {
	case "stream":
		return stream(client.Stream(ctx, request), asked), nil
	case "count_tokens":
		count, err := client.CountTokens(ctx, request)
		return ended(report{"input_tokens": count}, err), nil
	default:
		response, err := client.Generate(ctx, request)
		return ended(report{"response": packed(response)}, err), nil
	}
}

func stream(stream *sidecard.Stream, asked job) report {
	events := [][]byte{}
	pieces, most := 0, -1
	if asked.Leave != nil && asked.Leave.AfterPieces != nil {
		most = *asked.Leave.AfterPieces
	}
	if most != 0 {
		for event, err := range stream.Events() {
			if err != nil {
				break
			}
			events = append(events, packed(event))
			if event.GetTextDelta() != "" {
				pieces++
			}
			if pieces == most {
				break
			}
		}
	}
	found := report{"events": events, "text": stream.PartialText()}
	response, err := stream.Response()
	if response != nil {
		found["response"] = packed(response)
	}
	return ended(found, err)
}

// ended adds how a call failed: by an error that says so, or by its caller.
func ended(found report, err error) report {
	var failed *sidecard.Error
	switch {
	case err == nil:
	case errors.As(err, &failed):
		delete(found, "response")
		found["error"] = said(failed)
	default:
		delete(found, "response")
		found["left"] = true
	}
	return found
}

func said(failed *sidecard.Error) report {
	violations := []report{}
	for _, v := range failed.Violations {
		violations = append(violations, report{"field": v.Field, "description": v.Description})
	}
	var after any
	if failed.RetryAfter != nil {
		after = failed.RetryAfter.Seconds()
	}
	return report{
		"reason":        failed.Reason,
		"code":          code.Name(failed.Code),
		"message":       failed.Message,
		"retry_after_s": after,
		"request_id":    failed.RequestID,
		"target":        failed.Target,
		"attempts":      failed.Attempts,
		"violations":    violations,
		"partial_text":  failed.PartialText,
	}
}

func packed(message proto.Message) []byte {
	bytes, err := proto.Marshal(message)
	if err != nil {
		log.Fatal(err)
	}
	return bytes
}
