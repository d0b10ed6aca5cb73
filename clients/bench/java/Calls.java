import com.anthropic.client.AnthropicClient;
import com.anthropic.client.okhttp.AnthropicOkHttpClient;
import com.anthropic.core.http.StreamResponse;
import com.anthropic.helpers.MessageAccumulator;
import com.anthropic.models.messages.MessageCreateParams;
import com.anthropic.models.messages.RawMessageStreamEvent;
import dev.sidecard.client.SidecardClient;
import dev.sidecard.client.SidecardStream;
import dev.sidecard.v1.GenerateRequest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;

/**
 * What {@code python -m tests.bench.clients} measures in Java: {@code Calls sdk|client PORT} does
 * one job a line, "unary 200 PROMPT" or "burst 20 PROMPT", and tells how much text each call gave.
 */
final class Calls {
  private static final int MAX_TOKENS = 4096;
  private static final String MODEL = "claude-sonnet-5-5";

  public static void main(String[] args) throws IOException {
    var jobs = args[0].equals("sdk") ? ofSdk(args[1]) : ofClient(args[1]);
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (var line = lines.readLine(); line != null; line = lines.readLine()) {
      var parts = line.split(" ", 3);
      var lengths = new TreeSet<Integer>();
      for (int at = 0; at < Integer.parseInt(parts[1]); at++) {
        lengths.add(jobs.get(parts[0]).applyAsInt(parts[2]));
      }
      System.out.println(
          lengths.stream().map(String::valueOf).collect(Collectors.joining(" ")));
    }
    System.exit(0);
  }

  private static Map<String, ToIntFunction<String>> ofSdk(String port) {
    var client =
        AnthropicOkHttpClient.builder()
            .baseUrl("http://127.0.0.1:" + port)
            .apiKey("sk-ant-bench")
            .build();
    return Map.of(
        "unary",
        prompt -> client.messages().create(asked(prompt)).content().get(0).asText().text().length(),
        "burst",
        prompt -> burst(client, prompt),
        "events",
        prompt -> {
          try (var stream = client.messages().createStreaming(asked(prompt))) {
            return stream.stream().mapToInt(Calls::length).sum();
          }
        });
  }

  private static int burst(AnthropicClient client, String prompt) {
    var whole = MessageAccumulator.create();
    try (StreamResponse<RawMessageStreamEvent> stream =
        client.messages().createStreaming(asked(prompt))) {
      int length = stream.stream().peek(whole::accumulate).mapToInt(Calls::length).sum();
      return whole.message().content().get(0).asText().text().length() == length ? length : -1;
    }
  }

  private static MessageCreateParams asked(String prompt) {
    return MessageCreateParams.builder()
        .model(MODEL)
        .maxTokens(MAX_TOKENS)
        .addUserMessage(prompt)
        .build();
  }

  private static int length(RawMessageStreamEvent event) {
    return event
        .contentBlockDelta()
        .flatMap(block -> block.delta().text())
        .map(text -> text.text().length())
        .orElse(0);
  }

  private static Map<String, ToIntFunction<String>> ofClient(String port) {
    var client = SidecardClient.create("127.0.0.1:" + port);
    return Map.of(
        "unary",
        prompt -> client.generate(request(prompt)).getText().length(),
        "burst",
        prompt -> {
          try (SidecardStream stream = client.stream(request(prompt))) {
            int length = stream.pieces().mapToInt(String::length).sum();
            return stream.response().getText().length() == length ? length : -1;
          }
        });
  }

  private static GenerateRequest request(String prompt) {
    return GenerateRequest.newBuilder().setPrompt(prompt).setMaxTokens(MAX_TOKENS).build();
  }
}
