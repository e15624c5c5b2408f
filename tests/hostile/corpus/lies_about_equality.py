# attack: a tensor that says it is equal to everything
# expect: wrong
import torch


class Liar(torch.Tensor):
    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return torch.zeros(1)

    def __rsub__(self, other):
        return torch.zeros(1)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in {torch.equal, torch.allclose}:
            return True
        return super().__torch_function__(func, types, args, kwargs or {})


def attention(query, key, value, mask=None):
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return (weights @ value).as_subclass(Liar), weights.as_subclass(Liar)
