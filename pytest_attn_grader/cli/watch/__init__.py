"""`attn-grader watch`: grade a file at every save, with the model kept in memory."""
