# attack: prints without end
# expect: output-flood


def attention(query, key, value, mask=None):
    while True:
        print('x' * 1000)
