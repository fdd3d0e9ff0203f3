"""The D-FLISR brain: sans-I/O, deterministic; no socket, no clock, no thread, no randomness."""
