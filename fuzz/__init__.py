"""Fuzzing: bytes that nobody would write, against promises that hold for all bytes. How to run it: docs/fuzzing.md."""
