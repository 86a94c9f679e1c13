"""The runtime: speech in, typed intents and a reply in character out."""

from __future__ import annotations

import os

# Before numpy is loaded. Its threads spin for a while after each product, and the
# engines' threads wait for the cores: the features of an utterance, 2 ms of work, made
# its encoding take 120 ms instead of 60.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
