"""Continues a text with onnxruntime-genai from a folder that gprune wrote, token by token, always the likeliest.

    pip install onnxruntime-genai
    python bench/genai.py FOLDER "Once upon a time"

The tokens printed are those that tests/clients/transformers_js/generate.js prints for the same folder and text.
"""

import sys

import numpy
import onnxruntime_genai as genai

folder, prompt = sys.argv[1:]
model = genai.Model(folder)
tokenizer = genai.Tokenizer(model)
tokens = numpy.array([tokenizer.encode(prompt)], dtype=numpy.int32)
parameters = genai.GeneratorParams(model)
parameters.set_search_options(max_length=tokens.shape[1] + 12, do_sample=False)
generator = genai.Generator(model, parameters)
generator.append_tokens(tokens)
while not generator.is_done():
    generator.generate_next_token()
made = [int(token) for token in generator.get_sequence(0)]
print(made)
print(repr(tokenizer.decode(made)))
