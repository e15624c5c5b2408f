"""One grading run without pytest: the session, what it measures, compares, diagnoses and puts into the report."""
