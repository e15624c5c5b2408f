"""Count calls of ready-made attention while student code runs. Part of the worker: imports torch only.

A `TorchFunctionMode` sees the call itself, so an alias or a ``from … import`` hides nothing. A mode holds for one
thread, so every thread of `threading` gets one too. TorchScript is not seen at work: its graph is read instead. The
counts are a claim of the worker: a submission that wants to can change them.
"""

from __future__ import annotations

import re
import threading
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


class LibraryCalls:
    """A context that counts, in `counts`, the ready-made attention called within it, in any thread.

    Args:
        target: what is called; a scripted one is read.
    """

    def __init__(self, target: object = None) -> None:
        self.counts: dict[str, int] = {}
        self._mode = _CountingMode(self._count)
        self._target = target

    def __enter__(self) -> LibraryCalls:
        global _current  # noqa: PLW0603 - of the process, because threads are
        _current = self
        self._hook = register_module_forward_pre_hook(self._see_module)
        self._mode.__enter__()  # type: ignore[no-untyped-call]
        for name in scripted_calls(self._target):
            self._count(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        global _current  # noqa: PLW0603
        _current = None
        self._mode.__exit__(kind, error, where)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def _see_module(self, module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, READY_MADE_MODULES):
            self._count(f"torch.nn.{next(kind for kind in READY_MADE_MODULES if isinstance(module, kind)).__name__}")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


_current: LibraryCalls | None = None


class _CountingMode(TorchFunctionMode):
    """Reports each call of ready-made attention in this thread by its name."""

    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        known = library_name(name) if isinstance(name, str) else None
        if known is not None:
            self._count(known)
        return func(*args, **(kwargs or {}))


def library_name(operator: str) -> str | None:
    """Return the public name of ready-made attention; None for any other operator."""
    name = operator.partition(".")[0]  # operators of torch.ops are called "name.overload"
    if name in LIBRARY_ATTENTION:
        return LIBRARY_ATTENTION[name]
    return f"torch.ops.aten.{name}" if name.startswith(_READY_MADE_PREFIXES) else None


def scripted_calls(target: object) -> list[str]:
    """Return the ready-made attention in a scripted function's or module's graph, and in the modules of one."""
    modules = list(target.modules()) if isinstance(target, torch.nn.Module) else [target]
    found = []
    for each in modules:
        if isinstance(each, (torch.jit.ScriptFunction, torch.jit.ScriptModule)):
            # Found by text: a call inside a branch or a loop is in another block.
            operators = re.findall(r"aten::(\w+)", str(getattr(each, "inlined_graph", each.graph)))
            found += [name for name in map(library_name, operators) if name is not None]
    return found


def count_in_threads() -> None:
    """Have every thread of `threading` counted that is started from now on."""
    run = threading.Thread.run

    def counted(thread: threading.Thread) -> None:
        def count(name: str) -> None:
            if _current is not None:
                _current._count(name)

        with _CountingMode(count):
            run(thread)

    threading.Thread.run = counted  # type: ignore[method-assign,assignment]
