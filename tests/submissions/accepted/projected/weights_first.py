"""The weights come first, the text last, all by keyword; a dict comes back."""
import torch


def forward(*, query_weight, key_weight, value_weight, hidden_states, attention_mask=None):
    def project(weight):
        return torch.einsum("btc,cd->btd", hidden_states, weight)

    scores = torch.einsum("bqd,bkd->bqk", project(query_weight), project(key_weight))
    scores = scores * query_weight.shape[1] ** -0.5
    if attention_mask is not None:
        scores = scores + torch.log(attention_mask[:, 0].to(scores.dtype))
    probs = scores.softmax(2)
    return {"attn_output": torch.einsum("bqk,bkd->bqd", probs, project(value_weight)), "attn_weights": probs}
