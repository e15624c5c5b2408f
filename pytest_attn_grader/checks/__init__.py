"""The grader's own checks: ordinary pytest modules, collected by the plugin when a student is given.

A check asks its questions through fixtures only, and knows nothing of workers, models on disk or reports.
"""
