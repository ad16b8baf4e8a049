// Generates text from a local folder with transformers.js, and prints what it made as JSON.
//
//     deno run -A generate.js FOLDER DTYPE PROMPT
import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";

const [folder, dtype, prompt] = Deno.args;
env.allowRemoteModels = false;
const tokenizer = await AutoTokenizer.from_pretrained(folder);
const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype });
const inputs = tokenizer(prompt);
const { logits } = await model(inputs);
const generated = await model.generate({ ...inputs, max_new_tokens: 12, do_sample: false });
const text = tokenizer.batch_decode(generated, { skip_special_tokens: false })[0];
console.log(JSON.stringify({
  prompt: Array.from(inputs.input_ids.data, Number),
  logits: Array.from(logits.data).slice(-logits.dims[2]),
  tokens: Array.from(generated.data, Number),
  text,
}));
