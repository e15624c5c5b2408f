# attack: many files that would fill the disk
# expect: raised
# tiers: bwrap
# seconds: 60
import pathlib
import tempfile


def attention(query, key, value, mask=None):
    folder = pathlib.Path(tempfile.mkdtemp())
    for number in range(1000):
        (folder / str(number)).write_bytes(bytes(1 << 24))
