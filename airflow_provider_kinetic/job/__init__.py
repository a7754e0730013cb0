"""What runs inside a job. Importing this package imports nothing else: every process of a job does it."""
