"""Gaussian fields: one latent vector that all observations share, with a sparse precision."""
