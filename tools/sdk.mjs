// Drives Anthropic's own TypeScript SDK: `node sdk.mjs BASE_URL` does one job of JSON a line,
// and answers each with a line. tests/e2e/test_http_typescript.py has the jobs.
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "not looked at" });

const jobs = {
  async whole({ asked, headers }) {
    const answered = await client.messages.create(asked, { headers }).withResponse();
    const { data: message, request_id: requestId } = answered;
    return { message, requestId, headers: Object.fromEntries(answered.response.headers) };
  },

  // Accumulated by the SDK; `leave` aborts it after the first piece of text.
  async stream({ asked, leave }) {
    const stream = client.messages.stream(asked);
    const pieces = [];
    stream.on("text", (piece) => {
      pieces.push(piece);
      if (leave) stream.abort();
    });
    try {
      const message = await stream.finalMessage();
      return { pieces, message, headers: Object.fromEntries(stream.response.headers) };
    } catch (error) {
      return { pieces, ...told(error) };
    }
  },

  async count({ asked }) {
    return client.messages.countTokens(asked);
  },
};

function told(error) {
  return {
    kind: error.constructor.name,
    isApiError: error instanceof Anthropic.APIError,
    status: error.status ?? null,
    type: error.type ?? null,
    requestId: error.requestID ?? null,
    headers: Object.fromEntries(error.headers ?? []),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { job, ...rest } = JSON.parse(line);
  const report = await jobs[job](rest).catch(told);
  console.log(JSON.stringify(report));
}
