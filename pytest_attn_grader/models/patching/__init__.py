"""How a foreign attention gets into a transformer's layer; `pytest_attn_grader.model_utils` is the way in.

contract    what an attention function is asked and what it must answer
dispatch    the one function transformers calls for every patched layer
sharing     copies of a model that own no tensors
blocks      layers whose attention is replaced as a whole, and architectures without an attention interface
"""
