"""Workers over submissions that are written on the spot."""

from __future__ import annotations

from tests.support.sandboxes import remote_over

__all__ = ["remote_over"]  # a fixture
