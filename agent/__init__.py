"""The agent (distributed FLISR on a switch computer) and, under ``centralapps``, the central node's functions."""
