"""A job as the API server sees it: pure functions over the JSON that it speaks, without any client.

``job`` renders, ``status`` reads. Both sides of the wire are plain dicts, so every case is a table.
"""
