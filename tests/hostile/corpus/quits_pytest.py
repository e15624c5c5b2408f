# attack: asks pytest to end with success
# expect: raised
import pytest


def attention(query, key, value, mask=None):
    pytest.exit('done', returncode=0)
