"""The in-memory broker and registry of `connector dev`."""
