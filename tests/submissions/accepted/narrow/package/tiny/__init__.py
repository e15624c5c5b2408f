"""A package; its class is chosen by the name of the folder."""
from .layer import TinyAttention

__all__ = ["TinyAttention"]
