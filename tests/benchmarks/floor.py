"""The floor: what somebody would do without the grader. Imports the library, loads the model, runs it twice.

Started as a script, by its path; it knows nothing of the project. Its arguments: a model's folder, and a prompt.
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompt = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
inputs = tokenizer(prompt, return_tensors="pt")
with torch.no_grad():
    for _ in range(2):
        outputs = model(input_ids=inputs["input_ids"], output_attentions=True)
assert len(outputs.attentions) == model.config.num_hidden_layers
