"""The mathematics of attention: reference, tolerances, metrics, head scores, dropout, probes."""
