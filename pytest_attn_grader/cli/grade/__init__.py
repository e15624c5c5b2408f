"""Many submissions: found, graded side by side in warm processes, resumed after an interruption, and listed."""
