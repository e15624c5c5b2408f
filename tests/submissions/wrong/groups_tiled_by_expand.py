# expect: groups-tiled
import torch
import torch.nn as nn
import torch.nn.functional as F


def repeat_kv(x, n_rep):
    b, n_kv, t, d = x.shape
    return x[:, None].expand(b, n_rep, n_kv, t, d).reshape(b, n_rep * n_kv, t, d)


class GQA(nn.Module):
    def __init__(self, embed_dim, num_heads, n_kv_heads=2):
        super().__init__()
        self.h, self.kv, self.d = num_heads, n_kv_heads, embed_dim // num_heads
        self.q_proj = nn.Linear(embed_dim, self.h * self.d)
        self.k_proj = nn.Linear(embed_dim, self.kv * self.d)
        self.v_proj = nn.Linear(embed_dim, self.kv * self.d)
        self.out_proj = nn.Linear(self.h * self.d, embed_dim)

    def forward(self, x, mask=None):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.h, self.d).permute(0, 2, 1, 3)
        k, v = (f(x).view(b, t, self.kv, self.d).permute(0, 2, 1, 3) for f in (self.k_proj, self.v_proj))
        k, v = repeat_kv(k, self.h // self.kv), repeat_kv(v, self.h // self.kv)
        att = torch.einsum("bhqd,bhkd->bhqk", q, k) * self.d**-0.5
        if mask is not None:
            att = att.masked_fill(mask == 0, -1e9)
        out = torch.einsum("bhqk,bhkd->bhqd", F.softmax(att, -1), v)
        return self.out_proj(out.permute(0, 2, 1, 3).flatten(2))
