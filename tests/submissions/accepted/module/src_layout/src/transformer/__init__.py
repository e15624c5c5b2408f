"""A package in src/."""
from .attention import MultiHeadAttention
from .config import Config
