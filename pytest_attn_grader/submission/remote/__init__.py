"""The grader's side of a submission in a worker: typed requests, checked replies, and a bridge through autograd."""
