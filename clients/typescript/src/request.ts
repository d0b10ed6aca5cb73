/** Short ways to write the contract's messages. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ContentBlockSchema } from "./contract/sidecard/v1/content_pb.js";
import {
  type ContentBlock,
  type Message,
  MessageSchema,
  Role,
} from "./contract/sidecard/v1/content_pb.js";
import {
  type GenerateRequest,
  GenerateRequestSchema,
} from "./contract/sidecard/v1/generation_pb.js";

/** A `GenerateRequest` of the contract, or its fields; a text is the prompt. */
export type Question = string | MessageInitShape<typeof GenerateRequestSchema>;

/** A block of the contract, or its fields; a text is a block of text. */
export type Block = string | MessageInitShape<typeof ContentBlockSchema>;

/** A message of the caller's side. */
export function user(...content: Block[]): Message {
  return create(MessageSchema, { role: Role.USER, content: content.map(block) });
}

/** A message of the model's side, such as an earlier reply's content. */
export function assistant(...content: Block[]): Message {
  return create(MessageSchema, { role: Role.ASSISTANT, content: content.map(block) });
}

/** The block that answers a tool use. */
export function toolResult(
  toolUseId: string,
  ...content: Block[]
): MessageInitShape<typeof ContentBlockSchema> {
  return {
    block: { case: "toolResult", value: { toolUseId, content: content.map(block) } },
  };
}

/** The whole request; what the caller gave stays as it is. */
export function asked(question: Question, tenant: string): GenerateRequest {
  const fields = typeof question === "string" ? { prompt: question } : question;
  const request = create(GenerateRequestSchema, fields);
  return request.tenant || !tenant ? request : { ...request, tenant };
}

function block(given: Block): MessageInitShape<typeof ContentBlockSchema> | ContentBlock {
  return typeof given === "string" ? { block: { case: "text", value: { text: given } } } : given;
}
