/**
 * Loads GGUF files in llama.cpp and says what it makes of them: one JSON object per file on standard output.
 * Standard input: `[{ path, texts, tokens, positions, prompt }]`.
 */
import { getLlama, LlamaCompletion } from "node-llama-cpp";
import process from "node:process";
import { text } from "node:stream/consumers";

const requests = JSON.parse(await text(process.stdin));
// Several threads wait for each other by spinning, which on a busy machine takes minutes in place of milliseconds.
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 1 });
for (const request of requests) {
  let answer;
  try {
    answer = await ask(request);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await llama.dispose();

async function ask({ path, texts = [], tokens = [], positions = [], prompt }) {
  const model = await llama.loadModel({ modelPath: path });
  try {
    const encoded = texts.map((each) => model.tokenize(each));
    const decoded = encoded.map((each) => model.detokenize(each));
    const specials = {
      bos: model.tokens.bos,
      eos: model.tokens.eos,
      addsStart: model.tokens.shouldPrependBosToken,
    };
    const template = model.fileInfo.metadata.tokenizer?.chat_template;
    const logProbabilities = await evaluate(model, tokens, positions);
    const generated = prompt === undefined ? undefined : await generate(model, prompt);
    return { encoded, decoded, specials, template, logProbabilities, generated };
  } finally {
    await model.dispose();
  }
}

/** Log-probabilities of every next token after each of the positions. */
async function evaluate(model, tokens, positions) {
  if (tokens.length === 0) return [];
  const contextSize = Math.max(64, tokens.length + 8);
  const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
  const context = await model.createContext({
    contextSize,
    threads: 1,
    flashAttention: false,
    ...cache,
  });
  try {
    const inputs = tokens.map((token, position) =>
      positions.includes(position) ? [token, { generateNext: { probabilities: true } }] : token
    );
    const outputs = await context.getSequence().controlledEvaluate(inputs);
    return positions.map((position) => {
      const row = [];
      for (const [token, probability] of outputs[position].next.probabilities) {
        row[token] = Math.log(probability);
      }
      return row;
    });
  } finally {
    await context.dispose();
  }
}

async function generate(model, prompt) {
  const context = await model.createContext({ contextSize: 64, threads: 1 });
  try {
    const completion = new LlamaCompletion({ contextSequence: context.getSequence() });
    return await completion.generateCompletion(prompt, { maxTokens: 12, temperature: 0 });
  } finally {
    await context.dispose();
  }
}
