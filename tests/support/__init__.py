"""What several tests need: a model hub of our own, and checkpoints to put on it."""
