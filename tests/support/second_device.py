"""A second device on a machine that has only a CPU: `python -m tests.support.second_device ARGS` is pytest with it.

The model is put there, wherever `--attn-device` says. Its tensors are computed with on the CPU, but say that they are
elsewhere, and as on a GPU an operation on tensors of two devices is an error, and so is one that reads their memory
(`numpy()`). Numbers alone (tensors without dimensions) and indices may come from the CPU, as they may on a GPU.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "second"
_INDEXING = ("index.Tensor", "index_put.default", "index_put_.default", "_index_put_impl_.default")


def is_available() -> bool:
    """Whether this PyTorch lets Python define a device."""
    from torch.utils import backend_registration

    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


class SecondTensor(torch.Tensor):
    """A tensor that says it is on the second device; `kept` has its values."""

    kept: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, kept: Tensor) -> SecondTensor:
        found = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            kept.size(),
            strides=kept.stride(),
            storage_offset=kept.storage_offset(),
            dtype=kept.dtype,
            device=torch.device(NAME, 0),
        )
        found.kept = kept
        return found  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """The values: PyTorch refuses a class of tensors of its own, and takes one on a GPU."""
        return self.kept.tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"SecondTensor({self.kept})"


class SecondDevice(TorchDispatchMode):
    """Inside, tensors that are made on the second device are `SecondTensor`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    is_second = any(isinstance(each, SecondTensor) for each in tensors)
    name = func.__name__
    if is_second and name not in ("_to_copy.default", "copy_.default"):
        others = [each for each in tensors if not isinstance(each, SecondTensor) and each.dim() > 0]
        if others and not (name in _INDEXING and isinstance(args[0], SecondTensor)):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {NAME}:0 and cpu ({func})")
    if name == "copy_.default":
        is_second = isinstance(args[0], SecondTensor)
    if name == "_local_scalar_dense.default":
        is_second = False  # item()
    if kwargs.get("device") is not None:
        is_second = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map_only(SecondTensor, lambda each: each.kept, (args, kwargs))
    found = func(*plain_args, **plain_kwargs)
    if name.split(".")[0].endswith("_") and isinstance(found, Tensor):
        return args[0]  # in place
    return tree_map_only(Tensor, SecondTensor, found) if is_second else found


def _register() -> None:
    """Tell PyTorch of the device; what it makes without the dispatcher, as in `torch.tensor`, are these operations."""
    from torch.utils.backend_registration import (  # type: ignore[attr-defined]
        _setup_privateuseone_for_python_backend,
    )

    _setup_privateuseone_for_python_backend(NAME)

    @torch.library.impl("aten::empty_strided", "privateuseone")
    def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
        return SecondTensor(torch.empty_strided(size, stride, dtype=dtype))

    @torch.library.impl("aten::empty.memory_format", "privateuseone")
    def empty(size: Any, *, dtype: Any = None, **_: Any) -> Tensor:
        return SecondTensor(torch.empty(size, dtype=dtype))

    @torch.library.impl("aten::_copy_from", "privateuseone")
    def copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
        target.kept.copy_(getattr(source, "kept", source))
        return target


def main() -> int:
    """Run pytest in this process, with models on the second device."""
    _register()
    # Parameters become tensors of this class, and views of them cannot be made in inference mode.
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch.inference_mode = torch.no_grad  # type: ignore[assignment, misc]

    import pytest

    from pytest_attn_grader.models import load

    load.resolve_device = lambda name="auto": torch.device(NAME, 0)
    with SecondDevice():
        return int(pytest.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
