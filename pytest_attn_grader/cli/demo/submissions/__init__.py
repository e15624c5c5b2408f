"""What the demonstration hands in: a right attention, a narrow one, three wrong ones, and one that cannot be called."""
