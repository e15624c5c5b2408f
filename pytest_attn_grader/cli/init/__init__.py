"""`attn-grader init` and `gradescope-zip`: files for a course, made from templates."""
