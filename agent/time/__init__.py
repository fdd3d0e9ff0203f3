"""The one clock everyone asks, and its quality."""
