"""`attn-grader demo`: a guided demo of the package; each step checks a claim and prints measurements."""
