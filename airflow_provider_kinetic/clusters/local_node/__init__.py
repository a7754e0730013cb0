"""The node of a local job: a process of its own that starts the job's process, watches it and writes down how it goes.

A job must outlive the worker and the scheduler, hence the process; a submission waits for it, hence the standard
library alone: the node imports this folder as a package of its own and nothing else of ours. What it is told and
what it says are files in the job's folder; that it lives is told by a lock, which the kernel releases however the
node ends, so nobody has to guess from process ids.
"""
