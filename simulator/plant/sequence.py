"""Symmetrical components."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]
Real = npt.NDArray[np.float64]

Index = npt.NDArray[np.intp]

ROTATION: complex = complex(np.exp(2j * np.pi / 3))
"""The operator a of symmetrical components."""
POSITIVE: Complex = np.array([1, ROTATION**2, ROTATION])
"""Phases a, b, c of a unit positive-sequence phasor."""
_TO_SEQUENCE: Complex = np.array([[1, 1, 1], [1, ROTATION, ROTATION**2], [1, ROTATION**2, ROTATION]])


def to_sequence(phases: Any) -> Complex:
    """Zero, positive and negative sequence of the last axis (phases a, b, c)."""
    result: Complex = np.asarray(phases) @ _TO_SEQUENCE.T / 3
    return result


def phase_block(zero: complex, positive: complex) -> Complex:
    """3x3 phase matrix of a balanced element from its zero- and positive-sequence value (impedance or admittance)."""
    block: Complex = np.full((3, 3), (zero - positive) / 3, dtype=complex)
    block[np.diag_indices(3)] += positive
    return block
