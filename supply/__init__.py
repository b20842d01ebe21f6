"""Tools of the repository: what our packages are (`make wheel`, `make audit`), and the pages of docs/reference (`make docs`).

Not part of the wheel.
"""
