#!/usr/bin/env bash
# Starts an executor of Spark on Kubernetes. Spark asks its image for the command `executor`, and says the rest in the
# environment; `resource-managers/kubernetes` of Apache Spark names the variables.
set -euo pipefail
jars="$(python -c 'import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec("pyspark").origin).parent / "jars")')"
options=()
# Spark numbers the options of the JVM from 0 on.
for ((n = 0; ; n++)); do
  name="SPARK_JAVA_OPT_$n"
  [ -n "${!name+set}" ] || break
  options+=("${!name}")
done
exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
  -cp "${SPARK_CONF_DIR:+$SPARK_CONF_DIR:}${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$jars/*" \
  org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
  --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
  --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
  --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
