"""The budgets of DESIGN.md, measured: each figure beside that of a peer or of the floor, taken in the same run."""
