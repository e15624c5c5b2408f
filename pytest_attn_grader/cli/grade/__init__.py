"""`attn-grader grade`: find the submissions of a class, grade them in parallel, resume, and write a gradebook."""
