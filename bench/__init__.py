"""Measurements of Costroll: whole processes, side by side, on logs of known size. See docs/performance.md."""
