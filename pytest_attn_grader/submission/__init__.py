"""The student's side: find the submission, settle how it is called, run it in a worker, fit it to the model."""
