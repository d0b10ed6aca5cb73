//! What a stream's events add up to.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};

use crate::v1::{
    ContentBlock, GenerateResponse, StreamEvent, content_block::Block, stream_event::Event,
};

/// The blocks so far, by their index.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    blocks: BTreeMap<i32, Growing>,
}

/// A block, and what its deltas have added to each of its fields.
#[derive(Debug, Default)]
struct Growing {
    block: ContentBlock,
    text: String,
    thinking: String,
    signature: String,
    input: String,
}

impl Progress {
    pub(crate) fn fold(&mut self, event: &StreamEvent) {
        match &event.event {
            Some(Event::BlockStarted(block)) => {
                let grown = Growing { block: block.clone(), ..Growing::default() };
                self.blocks.insert(event.index, grown);
            }
            Some(Event::Restarted(_)) => self.blocks.clear(),
            Some(delta) => {
                if let Some(grown) = self.blocks.get_mut(&event.index) {
                    grown.fold(delta);
                }
            }
            None => {}
        }
    }

    /// All text so far, block by block.
    pub(crate) fn text(&self) -> String {
        self.blocks.values().flat_map(|grown| [grown.opening(), &grown.text]).collect()
    }

    /// The last message with what was streamed put into it, which it leaves out.
    pub(crate) fn whole(&self, last: GenerateResponse) -> GenerateResponse {
        let content = self.blocks.values().map(Growing::whole).collect();
        GenerateResponse { text: self.text(), content, ..last }
    }
}

impl Growing {
    fn fold(&mut self, delta: &Event) {
        match delta {
            Event::TextDelta(piece) => self.text.push_str(piece),
            Event::ThinkingDelta(piece) => self.thinking.push_str(piece),
            Event::SignatureDelta(piece) => self.signature.push_str(piece),
            Event::InputJsonDelta(piece) => self.input.push_str(piece),
            Event::CitationDelta(citation) => {
                if let Some(Block::Text(text)) = &mut self.block.block {
                    text.citations.push(citation.clone());
                }
            }
            _ => {}
        }
    }

    /// The text that the block began with.
    fn opening(&self) -> &str {
        match &self.block.block {
            Some(Block::Text(text)) => &text.text,
            _ => "",
        }
    }

    fn whole(&self) -> ContentBlock {
        let mut whole = self.block.clone();
        match &mut whole.block {
            Some(Block::Text(text)) => text.text.push_str(&self.text),
            Some(Block::Thinking(thinking)) => {
                thinking.thinking.push_str(&self.thinking);
                thinking.signature.push_str(&self.signature);
            }
            Some(Block::ToolUse(tool)) if !self.input.is_empty() => {
                // Before any delta, "{}" stands for what is to come.
                if tool.input_json == "{}" {
                    tool.input_json.clear();
                }
                tool.input_json.push_str(&self.input);
            }
            Some(Block::Raw(raw)) => {
                // What isn't JSON was cut off at max_tokens.
                if let Ok(input) = serde_json::from_str(&self.input) {
                    raw.fields.insert("input".into(), value(input));
                }
            }
            _ => {}
        }
        whole
    }
}

/// JSON as the contract holds it.
fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(boolean) => Kind::BoolValue(boolean),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(list) => {
            Kind::ListValue(ListValue { values: list.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(key, part)| (key, value(part))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
