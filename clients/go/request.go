package sidecard

import sidecardv1 "sidecard.dev/sidecard/v1"

// Prompt returns the request of one user message.
func Prompt(text string) *sidecardv1.GenerateRequest {
	return &sidecardv1.GenerateRequest{Prompt: text}
}

// User returns a message of the caller's side.
func User(content ...*sidecardv1.ContentBlock) *sidecardv1.Message {
	return &sidecardv1.Message{Role: sidecardv1.Role_ROLE_USER, Content: content}
}

// Assistant returns a message of the model's side, such as an earlier reply's content.
func Assistant(content ...*sidecardv1.ContentBlock) *sidecardv1.Message {
	return &sidecardv1.Message{Role: sidecardv1.Role_ROLE_ASSISTANT, Content: content}
}

// Text returns a block of text.
func Text(text string) *sidecardv1.ContentBlock {
	block := &sidecardv1.ContentBlock_Text{Text: &sidecardv1.TextBlock{Text: text}}
	return &sidecardv1.ContentBlock{Block: block}
}

// ToolResult returns the block that answers a tool use.
func ToolResult(toolUseID string, content ...*sidecardv1.ContentBlock) *sidecardv1.ContentBlock {
	result := &sidecardv1.ToolResultBlock{ToolUseId: toolUseID, Content: content}
	return &sidecardv1.ContentBlock{Block: &sidecardv1.ContentBlock_ToolResult{ToolResult: result}}
}
