"""Train and measure `mini`. This package is not part of the wheel, and nothing imports it at run time."""
