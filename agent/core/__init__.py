"""The compiled core: Sampled Values in, phasors and pick-up out; Sampled Values out for the simulator.

``ProtectionCore`` owns one POSIX thread that receives, authenticates, decodes and evaluates a stream without Python;
``SvSource`` owns one that synthesises and publishes a stream. Both are configured once, before they start.
"""

from agent.core.config import EarthMode, Key, Layer2, Layout, Multicast, ProtectionConfig, SvSourceConfig
from agent.core.protection import ProtectionCore, Samples
from agent.core.source import Segment, SvSource, Wave

__all__ = [
    "EarthMode",
    "Key",
    "Layer2",
    "Layout",
    "Multicast",
    "ProtectionConfig",
    "ProtectionCore",
    "Samples",
    "Segment",
    "SvSource",
    "SvSourceConfig",
    "Wave",
]
