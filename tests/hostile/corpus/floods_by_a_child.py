# attack: has another program print without end
# expect: output-flood | raised
import subprocess


def attention(query, key, value, mask=None):
    subprocess.run(['yes'], check=False)
