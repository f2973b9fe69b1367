"""Savers, which save the results of a batch and resume it after an interruption."""
