"""Front door: what `import mim` and the commands offer on encoders and pictures of a user's own."""
