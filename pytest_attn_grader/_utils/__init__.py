"""Small helpers that every package may use: heavy imports, memory, what survives a fork."""
