"""The operators' pages inside the Airflow UI: not built yet."""
