package sidecard

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	sidecardv1 "sidecard.dev/sidecard/v1"
)

// progress is the blocks that a stream's events add up to. The zero value is ready.
type progress struct {
	blocks map[int32]*growing
}

// growing is a block, and what its deltas have added to each of its fields.
type growing struct {
	block                            *sidecardv1.ContentBlock
	text, thinking, signature, input strings.Builder
}

func (p *progress) fold(event *sidecardv1.StreamEvent) {
	switch kind := event.GetEvent().(type) {
	case *sidecardv1.StreamEvent_BlockStarted:
		if p.blocks == nil {
			p.blocks = map[int32]*growing{}
		}
		p.blocks[event.GetIndex()] = &growing{block: proto.CloneOf(kind.BlockStarted)}
	case *sidecardv1.StreamEvent_Restarted:
		p.blocks = nil
	default:
		if grown := p.blocks[event.GetIndex()]; grown != nil {
			grown.fold(event)
		}
	}
}

func (g *growing) fold(event *sidecardv1.StreamEvent) {
	switch kind := event.GetEvent().(type) {
	case *sidecardv1.StreamEvent_TextDelta:
		g.text.WriteString(kind.TextDelta)
	case *sidecardv1.StreamEvent_ThinkingDelta:
		g.thinking.WriteString(kind.ThinkingDelta)
	case *sidecardv1.StreamEvent_SignatureDelta:
		g.signature.WriteString(kind.SignatureDelta)
	case *sidecardv1.StreamEvent_InputJsonDelta:
		g.input.WriteString(kind.InputJsonDelta)
	case *sidecardv1.StreamEvent_CitationDelta:
		if text := g.block.GetText(); text != nil {
			text.Citations = append(text.Citations, kind.CitationDelta)
		}
	}
}

// text is all text so far, block by block.
func (p *progress) text() string {
	var text strings.Builder
	for _, index := range slices.Sorted(maps.Keys(p.blocks)) {
		grown := p.blocks[index]
		text.WriteString(grown.block.GetText().GetText())
		text.WriteString(grown.text.String())
	}
	return text.String()
}

// whole puts what was streamed into the last message, which leaves it out.
func (p *progress) whole(last *sidecardv1.GenerateResponse) *sidecardv1.GenerateResponse {
	whole := proto.CloneOf(last)
	whole.Text = p.text()
	for _, index := range slices.Sorted(maps.Keys(p.blocks)) {
		whole.Content = append(whole.Content, p.blocks[index].whole())
	}
	return whole
}

func (g *growing) whole() *sidecardv1.ContentBlock {
	whole := proto.CloneOf(g.block)
	switch block := whole.GetBlock().(type) {
	case *sidecardv1.ContentBlock_Text:
		block.Text.Text += g.text.String()
	case *sidecardv1.ContentBlock_Thinking:
		block.Thinking.Thinking += g.thinking.String()
		block.Thinking.Signature += g.signature.String()
	case *sidecardv1.ContentBlock_ToolUse:
		if g.input.Len() > 0 {
			// Before any delta, "{}" stands for what is to come.
			block.ToolUse.InputJson = strings.TrimPrefix(block.ToolUse.InputJson, "{}") + g.input.String()
		}
	case *sidecardv1.ContentBlock_Raw:
		var input any // What isn't JSON was cut off at max_tokens.
		if json.Unmarshal([]byte(g.input.String()), &input) == nil {
			if value, err := structpb.NewValue(input); err == nil {
				block.Raw.Fields["input"] = value
			}
		}
	}
	return whole
}
