// A question, a stream, and what to do when there is no answer:
//
//	go run ./example "Why is the sky blue?"
//
// A daemon has to be running: `sidecard serve`, or `make run` in sidecard's repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sidecard.dev/sidecard"
	sidecardv1 "sidecard.dev/sidecard/v1"
)

func main() {
	question := strings.Join(os.Args[1:], " ")
	if question == "" {
		question = "Why is the sky blue?"
	}
	if err := run(question); err != nil {
		if errors.Is(err, sidecard.Unavailable) {
			fmt.Fprintln(os.Stderr, "Start a daemon first: sidecard serve")
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(question string) error {
	client, err := sidecard.New(sidecard.Options{
		Timeout: time.Minute, WaitForReady: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()

	request := sidecard.Prompt(question)
	request.System = "Answer in one sentence."
	reply, err := client.Generate(ctx, request)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n  (%s, %d tokens)\n", reply.Text, reply.Source, reply.Usage.OutputTokens)

	further := &sidecardv1.GenerateRequest{Messages: []*sidecardv1.Message{
		sidecard.User(sidecard.Text(question)),
		sidecard.Assistant(reply.Content...),
		sidecard.User(sidecard.Text("Say it in five words.")),
	}}
	stream := client.Stream(ctx, further)
	for piece, err := range stream.Text() {
		if err != nil {
			return err
		}
		fmt.Print(piece)
	}
	whole, err := stream.Response()
	if err != nil {
		return err
	}
	fmt.Printf("\n  (stopped at %s)\n", whole.StopReason)
	return nil
}
