# attack: skips, as a test of unittest would
# expect: raised
import unittest


def attention(query, key, value, mask=None):
    raise unittest.SkipTest('not today')
