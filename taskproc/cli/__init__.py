"""The command line: text in, text out, no decision of its own about tasks."""
