#!/usr/bin/env bash
# Makes what the services find when they start, once or again: databases' tables, pools, the first user, the
# bucket, and the sample campaigns where the catalog is empty.
set -euo pipefail
airflow db migrate
angelia catalog pools --spark-slots "${SPARK_SLOTS:-1}" > /tmp/pools.json
airflow pools import /tmp/pools.json
airflow users create --username "${AIRFLOW_ADMIN_USER:-admin}" --password "$AIRFLOW_ADMIN_PASSWORD" --role Admin \
  --firstname Angelia --lastname Admin --email admin@localhost.example > /dev/null
python - <<'PY'
import os
from urllib.parse import urlsplit

import boto3

bucket = urlsplit(os.environ["ANGELIA_LAKE"]).netloc
client = boto3.client("s3", endpoint_url=os.environ.get("ANGELIA_S3_ENDPOINT") or None)
if bucket not in {entry["Name"] for entry in client.list_buckets()["Buckets"]}:
    client.create_bucket(Bucket=bucket)
PY
if [ "$(angelia catalog list --json | python -c 'import json, sys; print(len(json.load(sys.stdin)["documents"]))')" = 0 ]; then
  angelia catalog apply /opt/angelia/campaigns --actor docker
fi
angelia doctor
