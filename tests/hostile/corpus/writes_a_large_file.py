# attack: a file that would fill the disk
# expect: file-too-large
import tempfile


def attention(query, key, value, mask=None):
    with tempfile.TemporaryFile() as file:
        while True:
            file.write(bytes(1 << 20))
