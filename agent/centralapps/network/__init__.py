"""The electrical model that every central function reads: elements as a person describes them, compiled into arrays."""
