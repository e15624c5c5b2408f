"""The weights are called as in a dictionary of a whole model: layer0_attn_w_q, …, layer0_attn_b_o."""
import torch


def self_attention(
    x, layer0_attn_w_q, layer0_attn_w_k, layer0_attn_w_v, layer0_attn_w_o, layer0_attn_b_o, n_head, mask=None
):
    batch, length, width = x.shape

    def project(weight):
        return (x @ weight).view(batch, length, n_head, width // n_head).transpose(1, 2)

    q, k, v = project(layer0_attn_w_q), project(layer0_attn_w_k), project(layer0_attn_w_v)
    scores = q @ k.transpose(-1, -2) * (width // n_head) ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
    return mixed @ layer0_attn_w_o + layer0_attn_b_o
