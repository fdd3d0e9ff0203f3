"""The agent's two processes: protection and station."""
