# attack: a tensor that says it has another shape and size
# expect: wrong
import torch


class Liar(torch.Tensor):
    shape = property(lambda self: torch.Size([3, 4, 10, 64]))

    def numel(self):
        return 0

    def element_size(self):
        return 0


def attention(query, key, value, mask=None):
    return torch.zeros(3).as_subclass(Liar)
