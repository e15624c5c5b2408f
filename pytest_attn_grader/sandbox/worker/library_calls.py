"""Count calls of ready-made attention while student code runs. Part of the worker: imports torch only.

A `TorchFunctionMode` sees the call itself, so an alias or a ``from … import`` hides nothing. It does not look into
TorchScript, nor into the decomposed steps a student writes out by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

LIBRARY_ATTENTION: Mapping[str, str] = {
    "scaled_dot_product_attention": "torch.nn.functional.scaled_dot_product_attention",
    "multi_head_attention_forward": "torch.nn.functional.multi_head_attention_forward",
    "_native_multi_head_attention": "torch._native_multi_head_attention",
    "_transformer_encoder_layer_fwd": "torch._transformer_encoder_layer_fwd",
    "flex_attention": "torch.nn.attention.flex_attention.flex_attention",
}
_READY_MADE_PREFIXES = ("_scaled_dot_product_", "_flash_attention_", "_efficient_attention_", "_cudnn_attention_")
READY_MADE_MODULES = (
    torch.nn.MultiheadAttention,
    torch.nn.TransformerEncoderLayer,
    torch.nn.TransformerDecoderLayer,
)


class LibraryCalls(TorchFunctionMode):
    """A context that counts, in `counts`, the ready-made attention called within it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __enter__(self) -> LibraryCalls:
        self._hook = register_module_forward_pre_hook(self._see_module)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, where)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        # Operators of torch.ops are called "name.overload".
        name = name.partition(".")[0] if isinstance(name, str) else ""
        if name in LIBRARY_ATTENTION:
            self._count(LIBRARY_ATTENTION[name])
        elif name.startswith(_READY_MADE_PREFIXES):
            self._count(f"torch.ops.aten.{name}")
        return func(*args, **(kwargs or {}))

    def _see_module(self, module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, READY_MADE_MODULES):
            self._count(f"torch.nn.{next(kind for kind in READY_MADE_MODULES if isinstance(module, kind)).__name__}")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
