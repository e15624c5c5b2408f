"""What a graded run costs beside the script a user would write instead: `python -m tests.benchmarks`."""
