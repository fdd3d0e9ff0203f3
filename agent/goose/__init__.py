"""GOOSE (IEC 61850-8-1) and R-GOOSE: frames, publisher and subscriber state machines, and a thin I/O shell."""
