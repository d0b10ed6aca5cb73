// What `python -m tests.bench.clients` measures in Go: `bench sdk|client PORT` does one job a line,
// "unary 200 PROMPT" or "burst 20 PROMPT", and tells how much text each call gave.
package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"sidecard.dev/sidecard"
	sidecardv1 "sidecard.dev/sidecard/v1"
)

const maxTokens = 4096

type job func(ctx context.Context, prompt string) (int, error)

func main() {
	jobs := ofSDK(os.Args[2])
	if os.Args[1] == "client" {
		jobs = ofClient(os.Args[2])
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), " ", 3)
		count, err := strconv.Atoi(parts[1])
		check(err)
		lengths := map[int]bool{}
		for range count {
			length, err := jobs[parts[0]](context.Background(), parts[2])
			check(err)
			lengths[length] = true
		}
		fmt.Println(strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(lengths))), "[]"))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ofSDK(port string) map[string]job {
	client := anthropic.NewClient(
		option.WithBaseURL("http://127.0.0.1:"+port), option.WithAPIKey("sk-ant-bench"),
	)
	asked := func(prompt string) anthropic.MessageNewParams {
		block := anthropic.NewTextBlock(prompt)
		return anthropic.MessageNewParams{
			Model: "claude-sonnet-5-5", MaxTokens: maxTokens,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(block)},
		}
	}
	unary := func(ctx context.Context, prompt string) (int, error) {
		message, err := client.Messages.New(ctx, asked(prompt))
		if err != nil {
			return 0, err
		}
		return len(message.Content[0].Text), nil
	}
	stream := func(ctx context.Context, prompt string, accumulates bool) (int, error) {
		stream := client.Messages.NewStreaming(ctx, asked(prompt))
		defer stream.Close()
		message, length := anthropic.Message{}, 0
		for stream.Next() {
			event := stream.Current()
			if accumulates {
				if err := message.Accumulate(event); err != nil {
					return 0, err
				}
			}
			length += len(event.Delta.Text)
		}
		if accumulates && len(message.Content[0].Text) != length {
			return -1, stream.Err()
		}
		return length, stream.Err()
	}
	return map[string]job{
		"unary": unary,
		"burst": func(ctx context.Context, prompt string) (int, error) {
			return stream(ctx, prompt, true)
		},
		"events": func(ctx context.Context, prompt string) (int, error) {
			return stream(ctx, prompt, false)
		},
	}
}

func ofClient(port string) map[string]job {
	client, err := sidecard.New(sidecard.Options{Address: "127.0.0.1:" + port})
	check(err)
	asked := func(prompt string) *sidecardv1.GenerateRequest {
		request := sidecard.Prompt(prompt)
		most := int32(maxTokens)
		request.MaxTokens = &most
		return request
	}
	unary := func(ctx context.Context, prompt string) (int, error) {
		reply, err := client.Generate(ctx, asked(prompt))
		if err != nil {
			return 0, err
		}
		return len(reply.Text), nil
	}
	burst := func(ctx context.Context, prompt string) (int, error) {
		stream, length := client.Stream(ctx, asked(prompt)), 0
		for piece, err := range stream.Text() {
			if err != nil {
				return 0, err
			}
			length += len(piece)
		}
		reply, err := stream.Response()
		if err == nil && len(reply.Text) != length {
			return -1, nil
		}
		return length, err
	}
	return map[string]job{"unary": unary, "burst": burst}
}
