package dev.sidecard.client;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import dev.sidecard.v1.ContentBlock;
import dev.sidecard.v1.GenerateResponse;
import dev.sidecard.v1.StreamEvent;
import java.util.SortedMap;
import java.util.TreeMap;

/** The blocks that a stream's events add up to. Not to be shared. */
final class Progress {
  private final SortedMap<Integer, Growing> blocks = new TreeMap<>();

  void fold(StreamEvent event) {
    switch (event.getEventCase()) {
      case BLOCK_STARTED -> blocks.put(event.getIndex(), new Growing(event.getBlockStarted()));
      case RESTARTED -> blocks.clear();
      default -> {
        Growing grown = blocks.get(event.getIndex());
        if (grown != null) {
          grown.fold(event);
        }
      }
    }
  }

  /** All text so far, block by block. */
  String text() {
    StringBuilder text = new StringBuilder();
    for (Growing grown : blocks.values()) {
      text.append(grown.block.getText().getText()).append(grown.text);
    }
    return text.toString();
  }

  /** The last message with what was streamed put into it, which it leaves out. */
  GenerateResponse whole(GenerateResponse last) {
    GenerateResponse.Builder whole = last.toBuilder().setText(text());
    for (Growing grown : blocks.values()) {
      whole.addContent(grown.whole());
    }
    return whole.build();
  }

  /** A block, and what its deltas have added to each of its fields. */
  private static final class Growing {
    private final ContentBlock.Builder block;
    private final StringBuilder text = new StringBuilder();
    private final StringBuilder thinking = new StringBuilder();
    private final StringBuilder signature = new StringBuilder();
    private final StringBuilder input = new StringBuilder();

    Growing(ContentBlock started) {
      block = started.toBuilder();
    }

    void fold(StreamEvent event) {
      switch (event.getEventCase()) {
        case TEXT_DELTA -> text.append(event.getTextDelta());
        case THINKING_DELTA -> thinking.append(event.getThinkingDelta());
        case SIGNATURE_DELTA -> signature.append(event.getSignatureDelta());
        case INPUT_JSON_DELTA -> input.append(event.getInputJsonDelta());
        case CITATION_DELTA -> block.getTextBuilder().addCitations(event.getCitationDelta());
        default -> {}
      }
    }

    ContentBlock whole() {
      ContentBlock.Builder whole = block.clone();
      switch (whole.getBlockCase()) {
        case TEXT -> whole.getTextBuilder().setText(whole.getText().getText() + text);
        case THINKING ->
            whole
                .getThinkingBuilder()
                .setThinking(whole.getThinking().getThinking() + thinking)
                .setSignature(whole.getThinking().getSignature() + signature);
        case TOOL_USE -> {
          if (!input.isEmpty()) {
            // Before any delta, "{}" stands for what is to come.
            String before = whole.getToolUse().getInputJson();
            whole.getToolUseBuilder().setInputJson((before.equals("{}") ? "" : before) + input);
          }
        }
        case RAW -> putInput(whole);
        default -> {}
      }
      return whole.build();
    }

    private void putInput(ContentBlock.Builder whole) {
      try {
        Struct.Builder parsed = Struct.newBuilder();
        JsonFormat.parser().merge("{\"input\":" + input + "}", parsed);
        whole.getRawBuilder().putAllFields(parsed.getFieldsMap());
      } catch (InvalidProtocolBufferException cutOff) {
        // It was cut off at max_tokens.
      }
    }
  }
}
