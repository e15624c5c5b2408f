"""`attn-grader demo`: a guided demo of the package; each step checks a claim and prints measurements."""

from typing import TypeAlias

# Whether the claim holds, and the measurements as text.
Measured: TypeAlias = tuple[bool, tuple[str, ...]]
