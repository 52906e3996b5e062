"""How good verdicts are: labelled sets through the real path, and what comes out against the truth."""
