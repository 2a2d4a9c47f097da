#!/usr/bin/env bash
# Whether the service of this container works, for its health check: healthy.sh url|port|job|celery WHAT
set -euo pipefail
case "$1" in
  url) python -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)' "$2" ;;
  port) exec 3<> "/dev/tcp/${2%:*}/${2#*:}" ;;
  job) airflow jobs check --job-type "$2" --hostname "$HOSTNAME" ;;
  celery) celery --app airflow.providers.celery.executors.celery_executor.app inspect ping -d "celery@$HOSTNAME" ;;
  *) echo "healthy.sh knows url, port, job and celery, not $1" >&2; exit 2 ;;
esac
