"""The contract between ``quantize`` and ``edge``: what a model, pack and device are."""
