"""The report as frozen data: what a run found, what it compared, what the submission is."""
