package dev.sidecard.client;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.StreamEvent;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/**
 * The conformance driver of the Java client: makes calls as it is told, and reports them. {@code
 * clients/conformance/README.md} has the protocol.
 */
final class ConformanceDriver {
  private static final Map<String, SidecardClient> CLIENTS = new HashMap<>();

  private ConformanceDriver() {}

  public static void main(String[] arguments) throws IOException {
    Gson gson = new GsonBuilder().serializeNulls().create();
    BufferedReader jobs =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream reports = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line = jobs.readLine(); line != null; line = jobs.readLine()) {
      reports.println(gson.toJson(done(JsonParser.parseString(line).getAsJsonObject())));
    }
    CLIENTS.values().forEach(SidecardClient::close);
  }

  private static JsonObject done(JsonObject job) throws IOException {
    GenerateRequest request =
        GenerateRequest.parseFrom(Base64.getDecoder().decode(job.get("request").getAsString()));
    String address = job.get("address").getAsString();
    SidecardClient client =
        told(CLIENTS.computeIfAbsent(address + job.get("tls"), key -> connected(address, job)), job);
    JsonObject leave = job.has("leave") ? job.getAsJsonObject("leave") : new JsonObject();
    if (job.get("method").getAsString().equals("stream")) {
      return streamed(client.stream(request), leave);
    }
    JsonObject report = new JsonObject();
    try {
      if (job.get("method").getAsString().equals("count_tokens")) {
        report.addProperty("input_tokens", client.countTokens(request));
      } else if (leave.has("after_s")) {
        var answer = client.generateAsync(request);
        CompletableFuture.delayedExecutor(
                duration(leave.get("after_s")).toMillis(), TimeUnit.MILLISECONDS)
            .execute(() -> answer.cancel(true));
        report.addProperty("response", packed(answer.join()));
      } else {
        report.addProperty("response", packed(client.generate(request)));
      }
    } catch (CompletionException | CancellationException | SidecardException error) {
      end(report, error);
    }
    return report;
  }

  private static SidecardClient connected(String address, JsonObject job) {
    if (!job.has("tls")) {
      return SidecardClient.create(address);
    }
    JsonObject files = job.getAsJsonObject("tls");
    Tls tls = Tls.trusting(Path.of(files.get("ca_file").getAsString()));
    if (files.has("cert_file")) {
      tls =
          tls.showing(
              Path.of(files.get("cert_file").getAsString()),
              Path.of(files.get("key_file").getAsString()));
    }
    return SidecardClient.create(address, tls);
  }

  private static SidecardClient told(SidecardClient client, JsonObject job) {
    if (job.has("tenant")) {
      client = client.withTenant(job.get("tenant").getAsString());
    }
    if (job.has("token")) {
      client = client.withToken(job.get("token").getAsString());
    }
    if (job.has("client_timeout_s")) {
      client = client.withTimeout(duration(job.get("client_timeout_s")));
    }
    if (job.has("wait_for_ready_s")) {
      client = client.withWaitForReady(duration(job.get("wait_for_ready_s")));
    }
    if (job.has("timeout_s")) {
      client = client.withTimeout(duration(job.get("timeout_s")));
    }
    if (job.has("request_id")) {
      client = client.withRequestId(job.get("request_id").getAsString());
    }
    return client;
  }

  private static JsonObject streamed(SidecardStream stream, JsonObject leave) {
    int most = leave.has("after_pieces") ? leave.get("after_pieces").getAsInt() : -1;
    JsonObject report = new JsonObject();
    JsonArray events = new JsonArray();
    report.add("events", events);
    try (stream) {
      int pieces = 0;
      if (most != 0) {
        for (StreamEvent event : stream) {
          events.add(packed(event));
          pieces += event.getTextDelta().isEmpty() ? 0 : 1;
          if (pieces == most) {
            break;
          }
        }
      }
      report.addProperty("response", packed(stream.response()));
    } catch (IllegalStateException | SidecardException error) {
      end(report, error);
    }
    report.addProperty("text", stream.text());
    return report;
  }

  /** Says how a call failed: by an error that says so, or by its caller. */
  private static void end(JsonObject report, RuntimeException error) {
    if (!(error instanceof SidecardException failed)) {
      report.addProperty("left", true);
      return;
    }
    JsonObject said = new JsonObject();
    JsonArray violations = new JsonArray();
    for (SidecardException.Violation violation : failed.violations()) {
      JsonObject found = new JsonObject();
      found.addProperty("field", violation.field());
      found.addProperty("description", violation.description());
      violations.add(found);
    }
    said.addProperty("reason", failed.reasonName());
    said.addProperty("code", failed.code().name());
    said.addProperty("message", failed.details());
    said.addProperty(
        "retry_after_s", failed.retryAfter().map(delay -> delay.toMillis() / 1000.0).orElse(null));
    said.addProperty("request_id", failed.requestId());
    said.addProperty("target", failed.target());
    said.addProperty("attempts", failed.attempts());
    said.add("violations", violations);
    said.addProperty("partial_text", failed.partialText());
    report.add("error", said);
  }

  private static Duration duration(JsonElement seconds) {
    return Duration.ofMillis(Math.round(seconds.getAsDouble() * 1000));
  }

  private static String packed(Message message) {
    return Base64.getEncoder().encodeToString(message.toByteArray());
  }
}
