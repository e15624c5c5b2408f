"""The submissions of the demo: one correct, one narrow, three wrong, and one that cannot be called."""
