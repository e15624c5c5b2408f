# expect: correct
import torch


def attention(Q, K, V, mask=None):
    B, H, T, D = Q.shape
    S = K.shape[-2]
    scale = 1.0 / (D ** 0.5)

    rows = []
    for t in range(T):
        q_t = Q[:, :, t, :]                                  # (B, H, D)
        score_t = (q_t.unsqueeze(2) * K).sum(-1) * scale     # (B, H, S)
        if mask is not None:
            full = torch.broadcast_to(mask, (B, H, T, S))
            score_t = score_t.masked_fill(full[:, :, t, :].logical_not(), -1e9)
        # subtract the biggest one so exp can not explode
        score_t = score_t - score_t.max(dim=-1, keepdim=True).values
        e = torch.exp(score_t)
        a = e / e.sum(dim=-1, keepdim=True)                  # (B, H, S)
        out_t = (a.unsqueeze(-1) * V).sum(dim=2)             # (B, H, D)
        rows.append(out_t)

    return torch.stack(rows, dim=2)
