"""Dead letters and raw callbacks through the pipeline again: what is read, what of it is chosen, and how it is carried."""
