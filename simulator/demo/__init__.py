"""Scenarios played with real processes, and the verdict on what they did."""
