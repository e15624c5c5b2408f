"""Everything that knows pytest: hooks, collection, outcomes, xdist, writing the report."""
