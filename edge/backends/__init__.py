"""Vendor libraries, one file each; named in `edge.build` alone."""
