"""The code of a worker that imports, describes and calls a submission, beside the student's code.

Imports the standard library, torch and `sandbox.worker` only. A worker loads it under a private name.
"""

# The name of the module in the grader's package, for `WorkerProcess`.
SERVICE = "submission.worker.service"
