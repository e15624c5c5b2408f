"""Small helpers without a topic of their own: heavy imports, memory, what survives a fork."""
