"""Sampled Values (IEC 61850-9-2, IEC 61869-9) and R-SV: frames, stream supervision, pure-Python reference of the
core.
"""
