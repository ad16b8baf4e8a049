// Generates text from a local folder with transformers.js, and prints what it made as one line of JSON for each dtype.
//
//     deno run -A generate.js FOLDER PROMPT DTYPE…
import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";

const [folder, prompt, ...dtypes] = Deno.args;
env.allowRemoteModels = false;
const tokenizer = await AutoTokenizer.from_pretrained(folder);
for (const dtype of dtypes) {
  const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype });
  const inputs = tokenizer(prompt);
  const { logits } = await model(inputs);
  const generated = await model.generate({ ...inputs, max_new_tokens: 12, do_sample: false });
  console.log(JSON.stringify({
    dtype,
    prompt: Array.from(inputs.input_ids.data, Number),
    logits: Array.from(logits.data).slice(-logits.dims[2]),
    tokens: Array.from(generated.data, Number),
    text: tokenizer.batch_decode(generated, { skip_special_tokens: false })[0],
  }));
  await model.dispose();
}
