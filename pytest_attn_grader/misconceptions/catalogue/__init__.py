"""The catalogue of misconceptions, one file for each family."""
