/** The contract's service, as grpc-js calls it. */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { GenerationService } from "./contract/sidecard/v1/generation_pb.js";

/** How one method is called: its path, and the bytes of its messages. */
export interface Method<I extends DescMessage, O extends DescMessage> {
  path: string;
  serialize: (request: MessageShape<I>) => Buffer;
  deserialize: (bytes: Buffer) => MessageShape<O>;
}

function method<I extends DescMessage, O extends DescMessage>(described: {
  name: string;
  input: I;
  output: O;
}): Method<I, O> {
  return {
    path: `/${GenerationService.typeName}/${described.name}`,
    serialize: (request) => Buffer.from(toBinary(described.input, request)),
    deserialize: (bytes) => fromBinary(described.output, bytes),
  };
}

export const generate = method(GenerationService.method.generate);
export const streamGenerate = method(GenerationService.method.streamGenerate);
export const countTokens = method(GenerationService.method.countTokens);
