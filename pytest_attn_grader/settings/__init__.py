"""The options of a graded run, and the frozen `Settings` that they become."""
