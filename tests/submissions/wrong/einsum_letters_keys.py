# expect: einsum-letters
import torch


def attend(Q, K, V, mask):
    scale = Q.size(-1) ** -0.5
    similarity = torch.einsum("...id, ...jd -> ...ij", Q * scale, K)
    similarity = torch.where(mask, similarity, torch.finfo(similarity.dtype).min)
    p = torch.softmax(similarity, dim=-1)
    return torch.einsum("...ij, ...kd -> ...id", p, V)
