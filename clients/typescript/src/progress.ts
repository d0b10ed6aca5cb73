/** What a stream's events add up to. */

import { clone } from "@bufbuild/protobuf";
import { type ContentBlock, ContentBlockSchema } from "./contract/sidecard/v1/content_pb.js";
import type { GenerateResponse } from "./contract/sidecard/v1/generation_pb.js";
import type { StreamEvent } from "./contract/sidecard/v1/stream_pb.js";

interface Growing {
  block: ContentBlock;
  text: string;
  thinking: string;
  signature: string;
  input: string;
}

export class Progress {
  #blocks = new Map<number, Growing>();

  /** All text so far, block by block. */
  get text(): string {
    return this.#sorted()
      .map(({ block: { block }, text }) => (block.case === "text" ? block.value.text + text : text))
      .join("");
  }

  fold({ index, event }: StreamEvent): void {
    if (event.case === "restarted") this.#blocks.clear();
    if (event.case === "blockStarted") {
      const block = clone(ContentBlockSchema, event.value);
      this.#blocks.set(index, { block, text: "", thinking: "", signature: "", input: "" });
    }
    const grown = this.#blocks.get(index);
    if (!grown) return;
    if (event.case === "textDelta") grown.text += event.value;
    if (event.case === "thinkingDelta") grown.thinking += event.value;
    if (event.case === "signatureDelta") grown.signature += event.value;
    if (event.case === "inputJsonDelta") grown.input += event.value;
    if (event.case === "citationDelta" && grown.block.block.case === "text") {
      grown.block.block.value.citations.push(event.value);
    }
  }

  /** The last message with what was streamed put into it, which it leaves out. */
  whole(last: GenerateResponse): GenerateResponse {
    return { ...last, text: this.text, content: this.#sorted().map(whole) };
  }

  #sorted(): Growing[] {
    return [...this.#blocks].sort(([a], [b]) => a - b).map(([, grown]) => grown);
  }
}

function whole(grown: Growing): ContentBlock {
  const block = clone(ContentBlockSchema, grown.block);
  const part = block.block;
  if (part.case === "text") {
    part.value.text += grown.text;
  } else if (part.case === "thinking") {
    part.value.thinking += grown.thinking;
    part.value.signature += grown.signature;
  } else if (part.case === "toolUse" && grown.input) {
    const before = part.value.inputJson;
    part.value.inputJson = (before === "{}" ? "" : before) + grown.input;
  } else if (part.case === "raw" && grown.input) {
    try {
      part.value = { ...part.value, input: JSON.parse(grown.input) };
    } catch {
      // It was cut off at max_tokens.
    }
  }
  return block;
}
