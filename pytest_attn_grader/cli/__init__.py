"""The command `attn-grader`: one folder for each command that is more than a function."""
