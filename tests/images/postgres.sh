#!/usr/bin/env bash
# Starts PostgreSQL as the official image does: the first time with a user, a database and the scripts that are mounted.
set -euo pipefail
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb --username "$POSTGRES_USER" --pwfile <(echo "$POSTGRES_PASSWORD") --auth-host scram-sha-256 > /dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --wait --options "-c listen_addresses=" start > /dev/null
  createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
  for script in /docker-entrypoint-initdb.d/*.sql; do psql --username "$POSTGRES_USER" --file "$script" "$POSTGRES_DB"; done
  pg_ctl --wait stop > /dev/null
fi
exec postgres -c listen_addresses='*'
