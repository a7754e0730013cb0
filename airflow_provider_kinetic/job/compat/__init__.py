"""Names of other systems over our trial, for scripts that are moved here one import line at a time."""
