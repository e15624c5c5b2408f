import a_library_of_tokens


def encode(text):
    return a_library_of_tokens.load("gpt2").encode(text)
