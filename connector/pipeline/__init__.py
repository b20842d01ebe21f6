"""The way of a callback, one module a step; `flow` tells it on one screen."""
