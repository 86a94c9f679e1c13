"""The quantization pipeline: recipe in, artifact and measured report out."""
