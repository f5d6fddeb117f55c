"""Simulated calls by the thousand, both ends in one process, and what is measured with them.

callers.c and its neighbours are the generator; crowd.py drives it; the other modules measure.
"""
