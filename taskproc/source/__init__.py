"""What code a class or function reaches inside the user's project, item by item."""
