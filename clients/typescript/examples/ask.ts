/**
 * A question, a stream, and what to do when there is no answer:
 *
 *     npm run build && node dist/examples/ask.js "Why is the sky blue?"
 *
 * A daemon has to be running: `sidecard serve`, or `make run` in sidecard's repository.
 */

import { assistant, Client, SidecardError, Source, user } from "../src/index.js";

const question = process.argv.slice(2).join(" ") || "Why is the sky blue?";
const client = new Client({ timeoutMs: 60_000, waitForReadyMs: 5_000 });
try {
  const reply = await client.generate({ prompt: question, system: "Answer in one sentence." });
  console.log(`${reply.text}\n  (${Source[reply.source]}, ${reply.usage?.outputTokens} tokens)`);

  const messages = [user(question), assistant(...reply.content), user("Say it in five words.")];
  const stream = client.stream({ messages });
  for await (const piece of stream.textStream) process.stdout.write(piece);
  console.log(`\n  (stopped at ${stream.response.stopReason})`);
} catch (error) {
  if (!(error instanceof SidecardError)) throw error;
  if (error.reason === "UNAVAILABLE") console.error("Start a daemon first: sidecard serve");
  console.error(error.message);
  process.exitCode = 1;
} finally {
  client.close();
}
