# attack: skips itself as a test module would
# expect: import-error
import pytest

pytest.skip('not today', allow_module_level=True)


def attention(query, key, value, mask=None):
    return query
