package dev.sidecard.client;

import dev.sidecard.v1.ContentBlock;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.Message;
import dev.sidecard.v1.Role;
import dev.sidecard.v1.TextBlock;
import dev.sidecard.v1.ToolResultBlock;
import java.util.List;

/** Short ways to write the contract's messages. */
public final class Messages {
  private Messages() {}

  /** The request of one user message. */
  public static GenerateRequest prompt(String text) {
    return GenerateRequest.newBuilder().setPrompt(text).build();
  }

  /** A message of the caller's side. */
  public static Message user(String text) {
    return user(List.of(text(text)));
  }

  /** A message of the caller's side. */
  public static Message user(List<ContentBlock> content) {
    return Message.newBuilder().setRole(Role.ROLE_USER).addAllContent(content).build();
  }

  /** A message of the model's side, such as an earlier reply's content. */
  public static Message assistant(List<ContentBlock> content) {
    return Message.newBuilder().setRole(Role.ROLE_ASSISTANT).addAllContent(content).build();
  }

  /** A block of text. */
  public static ContentBlock text(String text) {
    return ContentBlock.newBuilder().setText(TextBlock.newBuilder().setText(text)).build();
  }

  /** The block that answers a tool use. */
  public static ContentBlock toolResult(String toolUseId, String text) {
    ToolResultBlock.Builder result =
        ToolResultBlock.newBuilder().setToolUseId(toolUseId).addContent(text(text));
    return ContentBlock.newBuilder().setToolResult(result).build();
  }
}
