# attack: prints without end while it is imported
# expect: output-flood
while True:
    print('x' * 1000)


def attention(query, key, value, mask=None):
    return query
