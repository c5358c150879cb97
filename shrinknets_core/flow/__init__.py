"""The flow graph: which features a network has, and where they reach."""
