"""Silero VAD v6 in onnxruntime, frame by frame with its state kept between calls."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnxruntime

from edge.audio import Samples
from edge.backends.failures import vendor_errors
from edge.vad import FRAME_SAMPLES, VadError

_CONTEXT_SAMPLES = 64
"""Each frame is preceded by the end of the one before it, as the model was trained."""
_STATE_SHAPE = (1, 1, 128)


class Silero:
    """Speech probabilities from a Silero v6 ONNX file, on one thread."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        with vendor_errors(VadError, "vad_model", f"{path} could not be loaded."):
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        self.reset()

    def reset(self) -> None:
        """Forgets the stream so far."""
        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros((1, _CONTEXT_SAMPLES), np.float32)

    def fresh(self) -> Silero:
        """Returns a detector for another stream, on the same model."""
        other = copy.copy(self)
        other.reset()
        return other

    def probabilities(self, frames: Samples) -> Samples:
        """Returns the probability of speech of each frame, (n, 512) -> (n,)."""
        if frames.ndim != 2 or frames.shape[1] != FRAME_SAMPLES:
            raise VadError(
                "vad_frames", f"Frames have shape {frames.shape}, not (n, 512)."
            )
        tails = frames[:, -_CONTEXT_SAMPLES:]
        contexts = np.concatenate([self._context, tails[:-1]])  # (n, 64)
        self._context = tails[-1:].copy()
        with vendor_errors(VadError, "vad_failed", "The voice detector failed."):
            output, self._h, self._c = self._session.run(
                None,
                {
                    "input": np.concatenate([contexts, frames], axis=1),  # (n, 576)
                    "h": self._h,
                    "c": self._c,
                },
            )
        probabilities: Samples = np.asarray(output, np.float32).reshape(-1)
        return probabilities


def use_once(path: Path) -> None:
    """Loads a model and runs it over silence; for files nobody vouches for."""
    Silero(path).probabilities(np.zeros((1, FRAME_SAMPLES), np.float32))


def describe() -> str:
    """Returns what the engine can compute on here."""
    return ", ".join(onnxruntime.get_available_providers())
