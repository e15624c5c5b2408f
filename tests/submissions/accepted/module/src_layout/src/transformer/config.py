from dataclasses import dataclass


@dataclass
class Config:
    n_embd: int = 768
    n_head: int = 12
    dropout: float = 0.0
