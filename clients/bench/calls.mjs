// What `python -m tests.bench.clients` measures in Node: `calls.mjs sdk|client PORT` does one job
// a line, "unary 200 PROMPT" or "burst 20 PROMPT", and tells how much text each call gave.
import { createInterface } from "node:readline";
import Anthropic from "../../tools/node_modules/@anthropic-ai/sdk/index.mjs";
import { Client } from "../typescript/dist/src/index.js";

const [whose, port] = process.argv.slice(2);
const model = "claude-sonnet-5-5";

function ofSdk() {
  const client = new Anthropic({ baseURL: `http://127.0.0.1:${port}`, apiKey: "sk-ant-bench" });
  const asked = (content) => ({ model, max_tokens: 4096, messages: [{ role: "user", content }] });
  return {
    unary: async (prompt) => (await client.messages.create(asked(prompt))).content[0].text.length,
    async burst(prompt) {
      const stream = client.messages.stream(asked(prompt));
      let length = 0;
      stream.on("text", (piece) => {
        length += piece.length;
      });
      const message = await stream.finalMessage();
      return message.content[0].text.length === length ? length : -1;
    },
    async events(prompt) {
      let length = 0;
      for await (const event of await client.messages.create({ ...asked(prompt), stream: true })) {
        if (event.type === "content_block_delta") length += event.delta.text.length;
      }
      return length;
    },
  };
}

function ofClient() {
  const client = new Client({ address: `127.0.0.1:${port}` });
  return {
    unary: async (prompt) => (await client.generate({ prompt, maxTokens: 4096 })).text.length,
    async burst(prompt) {
      const stream = client.stream({ prompt, maxTokens: 4096 });
      let length = 0;
      for await (const piece of stream.textStream) length += piece.length;
      return stream.response.text.length === length ? length : -1;
    },
  };
}

const jobs = whose === "sdk" ? ofSdk() : ofClient();
for await (const line of createInterface({ input: process.stdin })) {
  const [kind, count, ...prompt] = line.split(" ");
  const lengths = new Set();
  for (let at = 0; at < Number(count); at++) lengths.add(await jobs[kind](prompt.join(" ")));
  console.log([...lengths].join(" "));
}
process.exit();
