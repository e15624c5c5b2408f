"""`attn-grader assess`: a language model writes feedback on a report. It changes no points and runs no code."""
