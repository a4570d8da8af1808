"""Figures of the papers, each a pure function: data -> figure, and its numbers -> table."""
