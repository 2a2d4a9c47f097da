#!/usr/bin/env bash
# Writes a file with random secrets, docker/.env by default, once: a file that stands is left as it is.
set -euo pipefail
file="${1:-$(dirname "$0")/.env}"
if [ -e "$file" ]; then
  echo "$file stands already; remove it for new secrets (and the volumes that were made with the old ones)"
  exit 0
fi
random() { head -c 32 /dev/urandom | base64 | tr -d '\n='; }
umask 077
{
  for name in POSTGRES_PASSWORD REDIS_PASSWORD S3_SECRET_KEY; do echo "$name=$(random | tr '+/' 'ab')"; done
  echo "S3_ACCESS_KEY=angelia"
  echo "AIRFLOW_ADMIN_PASSWORD=$(random | tr '+/' 'ab')"
  echo "API_SECRET_KEY=$(random)"
  echo "JWT_SECRET=$(random)"
  # A Fernet key is 32 bytes in URL-safe base64, with its padding.
  echo "FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
  echo "RECEIVE_CREDENTIALS='{\"secret\": \"$(random | tr '+/' 'ab')\"}'"
} > "$file"
echo "$file holds new secrets; the password of Airflow's user admin is AIRFLOW_ADMIN_PASSWORD in it"
