//! Short ways to write the contract's messages.

use crate::v1::{
    ContentBlock, GenerateRequest, Message, Role, TextBlock, ToolResultBlock, content_block::Block,
};

impl From<&str> for GenerateRequest {
    /// The request of one user message.
    fn from(prompt: &str) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }
}

impl From<String> for GenerateRequest {
    /// The request of one user message.
    fn from(prompt: String) -> Self {
        Self { prompt, ..Self::default() }
    }
}

/// A message of the caller's side.
pub fn user(content: impl IntoIterator<Item = ContentBlock>) -> Message {
    Message { role: Role::User.into(), content: content.into_iter().collect() }
}

/// A message of the model's side, such as an earlier reply's content.
pub fn assistant(content: impl IntoIterator<Item = ContentBlock>) -> Message {
    Message { role: Role::Assistant.into(), content: content.into_iter().collect() }
}

/// A block of text.
pub fn text(text: impl Into<String>) -> ContentBlock {
    block(Block::Text(TextBlock { text: text.into(), ..TextBlock::default() }))
}

/// The block that answers a tool use.
pub fn tool_result(
    tool_use_id: impl Into<String>,
    content: impl IntoIterator<Item = ContentBlock>,
) -> ContentBlock {
    block(Block::ToolResult(ToolResultBlock {
        tool_use_id: tool_use_id.into(),
        content: content.into_iter().collect(),
        is_error: false,
    }))
}

fn block(block: Block) -> ContentBlock {
    ContentBlock { block: Some(block), ..ContentBlock::default() }
}
