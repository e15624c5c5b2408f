"""Runs a student's code in a process of its own and asks it for values and gradients."""
