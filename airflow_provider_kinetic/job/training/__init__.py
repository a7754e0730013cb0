"""What ``job.trial()`` is made of: attempts, checkpoints, metrics, and leaving in time (``checkpointing`` 3)."""
