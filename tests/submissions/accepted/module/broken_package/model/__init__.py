from .tokens import encode

__all__ = ["encode"]
