"""Learning: one loop, losses, run folders that can be gone on with, cross-validation."""
