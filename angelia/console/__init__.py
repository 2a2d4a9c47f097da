"""The operators' pages inside the Airflow UI: what is planned, sent, waiting and broken.

Enter at `plugin.py` (what Airflow loads), `app.py` (all pages together) and `pages/` (one module a page).
Reads the lake, the catalog and HOME/logs; writes stops and documents. Airflow says who may see and do what
(`access.py`).
"""
