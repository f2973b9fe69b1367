"""Names values: each gets one canonical form in JSON, which tells its type, and from which it comes back."""
