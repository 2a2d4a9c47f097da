"""One module per schema revision.

MariaDB and MySQL commit at every CREATE and DROP, so one that was killed there may have been half done: each
step is `if_not_exists` or `if_exists`, and data are moved after the last of them.
"""
