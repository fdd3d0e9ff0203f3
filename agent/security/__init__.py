"""IEC 62351: keys and frame authentication."""
