/**
 * Ask the sidecard daemon beside you: `(await new Client().generate("hello")).text`.
 *
 * Requests and replies are the contract's own messages.
 */

export { type CallOptions, Client, type ClientOptions, DEFAULT_ADDRESS } from "./client.js";
export * from "./contract/sidecard/v1/content_pb.js";
export * from "./contract/sidecard/v1/generation_pb.js";
export * from "./contract/sidecard/v1/stream_pb.js";
export * from "./contract/sidecard/v1/usage_pb.js";
export { type Facts, type Reason, SidecardError, type Violation } from "./errors.js";
export { assistant, type Block, type Question, toolResult, user } from "./request.js";
export { Stream } from "./stream.js";
