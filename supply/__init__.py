"""What our packages are, and what is known against them: `make wheel` and `make audit`. Not part of the wheel."""
