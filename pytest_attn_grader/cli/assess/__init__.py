"""`attn-grader assess`: a language model puts a report into words. It gives no points and runs nothing."""
