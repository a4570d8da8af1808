"""Masked image modelling, composed: masker x model x loss x pool x data."""
