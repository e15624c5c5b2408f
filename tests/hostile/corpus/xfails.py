# attack: says that a failure was expected, as a test would
# expect: raised
import pytest


def attention(query, key, value, mask=None):
    pytest.xfail('expected')
