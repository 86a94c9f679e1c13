"""Vendor libraries, one file each; named in `edge.engines` and `edge.build` alone.

What the libraries read from the environment is set here, as they read it while they are
imported: this runs before any of them is. A value the user has set stays.
"""

from __future__ import annotations

import os

# OpenMP threads that wait by spinning lose their core to a busy game for a whole time
# slice: with one of two cores taken, Whisper took 2 to 25 s for a command that takes
# 0.4 s when they sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# onnxruntime's own builds otherwise send events, and keep a device identifier on disk.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# What MKL keeps for the next call is 40 MB after the longest utterance; without, no
# utterance was measurably slower.
os.environ.setdefault("MKL_DISABLE_FAST_MM", "1")
