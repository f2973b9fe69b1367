"""What saves results, and goes on where an interrupted batch has ended."""
