"""Pages of our own in the Airflow UI, behind the links of a task instance: the job, its logs, its outputs.

``kinetic`` is what Airflow loads, in every process; everything else is imported by the API server alone.
"""
