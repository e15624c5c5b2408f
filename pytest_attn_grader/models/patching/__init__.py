"""Put an attention into a layer of a transformer; `pytest_attn_grader.model_utils` is the public interface.

attention_function  what an attention function is called with and what it must return
dispatch            the one function that transformers calls for every patched layer
shared_copy         copies of a model that share its tensors
blocks              layers whose attention is replaced as a whole, and architectures without an attention interface
recording           one forward pass with the reference in every layer, which derives an architecture and proves it
forward_pass        a model on a prompt, and the figures that compare two
tokenizers          which tokenizer belongs to a model
"""
