def additive(mask):
    """0 where a query may attend, very negative elsewhere."""
    return mask.float() * -1e9
