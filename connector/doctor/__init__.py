"""Checks every dependency of the bridge from this machine; each finding says what to do about it.

It changes nothing, and produces no record.
"""
