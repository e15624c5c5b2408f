# attack: skips, as a test would
# expect: raised
import pytest


def attention(query, key, value, mask=None):
    pytest.skip('not today')
