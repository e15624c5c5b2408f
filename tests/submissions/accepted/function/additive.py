"""The mask is added to the scores: one line at the top says so."""
import torch

ATTN_MASK = "additive"


def attention_forward(query_layer, key_layer, value_layer, attention_mask=None, head_mask=None):
    attention_scores = torch.matmul(query_layer, key_layer.transpose(-1, -2))
    attention_scores = attention_scores * (1.0 / query_layer.shape[-1] ** 0.5)
    if attention_mask is not None:
        attention_scores = attention_scores + attention_mask
    attention_probs = torch.nn.functional.softmax(attention_scores, dim=-1)
    if head_mask is not None:
        attention_probs = attention_probs * head_mask
    return torch.matmul(attention_probs, value_layer), attention_probs
