# attack: imports the grader to ask it for the answers
# expect: import-error
from pytest_attn_grader.reference import reference_attention


def attention(query, key, value, mask=None):
    return reference_attention(query, key, value, mask)
