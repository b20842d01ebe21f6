"""Table definitions for the engines that read our topics: one module for each engine, all from the same schemas."""
