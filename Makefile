# Every target works from a fresh clone, in a path with spaces, with Python, Java and the Python package registry.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
USERS ?= 100000
DAYS ?= 28
COVERAGE ?=
export ANGELIA_HOME ?= var
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A night is some sixty Python processes: where bytecode is not kept, each compiles every library it imports again, most of its seconds.
unexport PYTHONDONTWRITEBYTECODE
# BLAS threads wait by spinning; beside other processes they cost more processor time than they save (models/__init__.py).
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help setup run check check-types check-texts audit mutants docs test test-scheduler dist golden soak bench bench-peers up down lock test-s3 test-cluster test-alerts test-upgrade test-celery test-images test-kubernetes test-databases test-browser test-intake test-ldap images compose-up compose-down notebooks pictures

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

setup: .venv/.ready ## make .venv and install the locked environment

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "error: Python 3.11 to 3.13 is needed, this is $$($(PYTHON) --version); run make PYTHON=python3.11 setup" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r <(sed -n '/^uv==/,/^[a-z]/{/^uv==/p;/^    --hash/p}' requirements.lock)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@$(BIN)/python -c 'import pathlib, pyspark; assert (pathlib.Path(pyspark.__file__).parent / "jars").is_dir(), "pyspark was overwritten by pyspark-client"'
	@$(BIN)/python -m spark_jobs.running.archive 2> >(grep "class archive" >&2)
	@touch .venv/.ready

run: setup ## the whole loop on a simulated population: world, bootstrap, night, delivery, receipts, report
	@$(BIN)/angelia doctor
	@$(BIN)/angelia loop --users $(USERS) --days $(DAYS)

check: setup ## format, lint, types, import contracts, SQL, generated documents
	@$(MAKE) --no-print-directory --jobs=2 check-types check-texts

check-types: # the longest, beside all others
	$(BIN)/mypy

check-texts:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 1 sql
	$(BIN)/python -m angelia.contracts.markdown --check
	$(BIN)/python dags/_document.py --check
	$(BIN)/python docs/house.py --check
	$(BIN)/python -m angelia.delivery.channels.capabilities --check
	$(BIN)/python -m angelia.intake.describing.client_code --check
	$(BIN)/hadolint docker/Dockerfile
	@folder="$$(mktemp -d)" && trap 'rm -r "$$folder"' EXIT && docker/secrets.sh "$$folder/env" > /dev/null && \
	  for more in "" "-f docker/compose.override.yaml" "-f docker/compose.sandbox.yaml"; do \
	    $(BIN)/docker-compose --env-file "$$folder/env" -f docker/compose.yaml $$more config --quiet || exit; done

audit: setup ## look up known vulnerabilities of the locked packages; passes with a notice if the service is out of reach
	@$(BIN)/python -m tests.audit

mutants: setup ## break the code in one place after another, and list the breakages that no test catches (slow)
	@$(BIN)/python -m tests.mutants

docs: setup ## write the generated documents: docs/DATASETS.md, docs/DAGS.md, the packages in docs/architecture.md, the capabilities of channels, the intake's client
	$(BIN)/python -m angelia.contracts.markdown
	$(BIN)/python dags/_document.py
	$(BIN)/python docs/house.py
	$(BIN)/python -m angelia.delivery.channels.capabilities
	$(BIN)/python -m angelia.intake.describing.client_code

# A test's lake syncs each file that it publishes: on a disk that is a tenth of the suite's time. Where memory is plenty, what
# tests write stands in it, and goes at the end; a test run by pytest itself leaves its folders where pytest keeps them.
IN_MEMORY = if [ -w /dev/shm ] && [ "$$(df -Pm /dev/shm | awk 'END {print $$4}')" -ge 4000 ] && \
  [ "$$(awk '/^MemAvailable/ {print int($$2 / 1024)}' /proc/meminfo)" -ge 8000 ]; then \
  TMPDIR="$$(mktemp -d /dev/shm/angelia-XXXXXX)" && export TMPDIR && trap 'rm -rf "$$TMPDIR"' EXIT; fi &&
test: setup ## run all tests; COVERAGE=on also counts the lines that unit tests run, which takes longer
	@[ -z "$(COVERAGE)" ] || [ "$(COVERAGE)" = on ] || { echo "error: COVERAGE is on, or left out" >&2; exit 2; }
	@$(IN_MEMORY) $(BIN)/python -m pytest -q -m "not scheduler and not s3server and not cluster and not dist and not upgrade and not images and not kafka" -n 2 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term)

test-scheduler: setup ## run backfills, replays and a resend on a real scheduler (about six minutes)
	@$(IN_MEMORY) $(BIN)/python -m pytest -q -m scheduler tests/integration

test-intake: setup ## try the intake's OpenAPI document on a real server with schemathesis, in an environment of its own (about two minutes)
	@[ -x .venv-intake/bin/schemathesis ] || { $(BIN)/uv venv --quiet --python $(BIN)/python .venv-intake && \
	  $(BIN)/uv pip install --quiet --python .venv-intake/bin/python schemathesis==4.32.5; }
	$(BIN)/python -m tests.intake_document .venv-intake/bin/schemathesis

test-kafka: setup ## read events of a real Kafka broker through kills, races and expiry (Java 17; Maven puts jars into var/kafka; the test starts and stops it)
	@for part in broker connector; do [ -d var/kafka/$$part ] || \
	  { folder="$$(mktemp -d)" && trap 'rm -r "$$folder"' EXIT && \
	    mvn -q -B -f tests/kafka/$$part.xml dependency:copy-dependencies $$([ $$part = broker ] || echo -DexcludeTransitive=true) \
	      -DoutputDirectory="$$folder/jars" > "$$folder/log" 2>&1 && mkdir -p var/kafka && mv "$$folder/jars" var/kafka/$$part; } || \
	  echo "no jars of Kafka's $$part: Maven is not installed, or does not reach its repository; the tests are skipped" >&2; done
	$(BIN)/python -m pytest -q -m kafka tests/kafka

test-ldap: setup ## make a list of a group in OpenLDAP's slapd (installed; the tests start and stop it), with ldap3 in a folder of its own
	@[ -d .venv-ldap/ldap3 ] || $(BIN)/uv pip install --quiet --target .venv-ldap -r requirements-ldap.in
	PYTHONPATH="$$PYTHONPATH:.venv-ldap" $(BIN)/python -m pytest -q tests/integration/test_directory.py

dist: setup ## build wheel and sdist into dist/, install the wheel into an empty environment and run it (needs the package registry)
	@rm -rf dist
	$(BIN)/uv build --quiet --python $(BIN)/python --out-dir dist
	$(BIN)/python -m pytest -q -m dist tests/integration

golden: setup ## rewrite the golden files; read their diff in review
	ANGELIA_GOLDEN=write $(BIN)/python -m pytest -q tests/golden tests/dags && \
	ANGELIA_GOLDEN=write $(BIN)/python -m pytest -q tests/unit/delivery -k golden

bench: setup ## run every benchmark; each prints one JSON line (slow)
	$(BIN)/python -m benchmarks --list | xargs -n 1 $(BIN)/python -m benchmarks

notebooks: setup ## run the notebooks in docs/notebooks on the lake that the settings name (after `make run`; slow)
	@for script in docs/notebooks/*.py; do echo "$$script"; $(BIN)/python "$$script" || exit 1; done

soak: setup ## kill processes at more than two hundred points, and send a million messages under random faults for ten minutes
	ANGELIA_SOAK=300 $(BIN)/python -m pytest -q tests/faults -p no:cacheprovider

bench-peers: setup ## install the peers that benchmarks compare with, in an environment of their own
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-peers
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-peers/bin/python benchmarks/peers.lock

VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0
test-s3: setup ## run the lake's tests on moto, SeaweedFS and versitygw (which Go builds, if installed), and the whole loop with lake and models on SeaweedFS
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-servers
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-servers/bin/python tests/servers.lock
	$(BIN)/python -m pytest -q tests/unit/lake -k s3
	S3_SERVER=seaweedfs $(BIN)/python -m pytest -q tests/unit/lake -k s3
	@if [ -x .venv-servers/bin/versitygw ] || GOBIN="$$PWD/.venv-servers/bin" go install $(VERSITYGW); then \
	  S3_SERVER=versitygw $(BIN)/python -m pytest -q tests/unit/lake -k s3; \
	else echo "skipped: versitygw, the third S3 server, could not be built (Go and its module proxy are needed)" >&2; fi
	S3_SERVER=seaweedfs $(BIN)/python -m pytest -q -m s3server tests/integration

test-cluster: setup ## run a first load and a night on a Spark cluster whose machines share only S3 (namespaces, as root; the test starts it)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-servers
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-servers/bin/python tests/servers.lock
	$(BIN)/python -m pytest -q -m cluster tests/cluster/test_night.py

test-upgrade: setup ## read, send and continue lakes that 0.2.0 and 0.1.0 wrote, with their code from the git history (about ten minutes of processor)
	$(BIN)/python -m pytest -q -m upgrade tests/integration

test-alerts: setup ## check the dashboard's queries and the alert rules with promtool and Prometheus (fetched from Debian's package if not installed)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-servers
	@command -v prometheus > /dev/null || [ -x .venv-servers/bin/prometheus ] || { folder="$$(mktemp -d)" && trap 'rm -r "$$folder"' EXIT && cd "$$folder" && \
	  apt-get -q download prometheus > /dev/null 2>&1 && dpkg-deb --extract prometheus_*.deb . && mv usr/bin/promtool usr/bin/prometheus "$$OLDPWD/.venv-servers/bin/"; } || \
	  echo "no Prometheus (apt-get install prometheus): its tests are skipped" >&2
	$(BIN)/python -m pytest -q tests/images/test_observability.py

test-celery: setup ## run a night and an hour in Airflow on Celery, PostgreSQL and Redis, and kill one of two workers (as root; the test starts them)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-servers
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-servers/bin/python tests/servers.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-celery
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-celery/bin/python docker/requirements.lock
	CATALOG_SERVERS=required $(BIN)/python -m pytest -q -m cluster tests/cluster/test_celery.py

test-images: setup ## run a night and an hour with Airflow, Spark and S3 in containers of an image that podman builds (as root; podman, debootstrap)
	$(BIN)/python -m pytest -q -s -rs -m images tests/images

test-kubernetes: setup ## check each object of docker/kubernetes against Kubernetes' schemas, with CHART=… what Airflow's chart makes of our values, too (kubectl, helm; kubernetes-validate in an environment of its own)
	@[ -x .venv-kubernetes/bin/kubernetes-validate ] || { $(BIN)/uv venv --quiet --python $(BIN)/python .venv-kubernetes && \
	  $(BIN)/uv pip install --quiet --python .venv-kubernetes/bin/python kubernetes-validate==1.37.0; }
	@folder="$$(mktemp -d)" && trap 'rm -r "$$folder"' EXIT && kubectl kustomize docker/kubernetes > "$$folder/angelia.yaml" && \
	  .venv-kubernetes/bin/kubernetes-validate --strict "$$folder/angelia.yaml" && { [ -z "$(CHART)" ] || { \
	  helm template airflow "$(CHART)" -n angelia -f docker/kubernetes/values.yaml > "$$folder/airflow.yaml" && \
	  .venv-kubernetes/bin/kubernetes-validate --strict "$$folder/airflow.yaml"; }; }

test-databases: setup ## run the catalog's tests on PostgreSQL and MariaDB (installed; the tests start and stop them); none may be skipped
	CATALOG_SERVERS=required $(BIN)/python -m pytest -q tests/unit/catalog -k "postgresql or mariadb"

test-browser: setup ## walk through the console in Debian's Chromium, on Airflow's own API server (needs chromium and fonts-noto-cjk)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-browser
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-browser/bin/python tests/browser/browser.lock
	ANGELIA_PYTHON="$$PWD/$(BIN)/python" .venv-browser/bin/python -m pytest -q --confcutdir=tests/browser -p no:cacheprovider tests/browser

pictures: setup ## take the three pictures of the README from the night of make run (make test-browser installs the environment first)
	ANGELIA_PYTHON="$$PWD/$(BIN)/python" .venv-browser/bin/python -m tests.browser.pictures "$(ANGELIA_HOME)"

UP_SECONDS ?= 240
NIGHTS ?=
up: setup ## start Airflow on http://localhost:8080 with the sample catalog (NIGHTS=on switches its DAGs on); fails if it does not answer within UP_SECONDS
	@[ -z "$(NIGHTS)" ] || [ "$(NIGHTS)" = on ] || { echo "error: NIGHTS is on, or left out" >&2; exit 2; }
	@$(BIN)/angelia loop --airflow-only
	@$(BIN)/angelia catalog apply campaigns --actor make
	@. "$$(realpath "$(ANGELIA_HOME)")/airflow/env.sh" && cd "$$AIRFLOW_HOME" && \
	  { [ ! -f standalone.pid ] || ! kill -0 "$$(cat standalone.pid)" 2>/dev/null || { echo "error: it is running; make down stops it" >&2; exit 2; }; } && \
	  { ! python -c 'import socket; socket.create_connection(("127.0.0.1", 8080), 2)' 2>/dev/null || \
	    { echo "error: something else listens on port 8080; stop it first" >&2; exit 2; }; } && \
	  { [ "$(NIGHTS)" != on ] || { airflow dags reserialize && airflow dags unpause --yes --treat-dag-id-as-regex '.*'; } > nights.log 2>&1 || \
	    { echo "error: the DAGs could not be switched on; see $$AIRFLOW_HOME/nights.log" >&2; exit 2; }; } && \
	  { setsid nohup airflow standalone > standalone.log 2>&1 & echo $$! > standalone.pid; } && \
	  end=$$((SECONDS + $(UP_SECONDS))) && while [ $$SECONDS -lt $$end ]; do \
	    if python -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:8080/api/v2/version", timeout=5)' 2>/dev/null; then \
	      if [ -n "$$ANGELIA_AIRFLOW_USER" ]; then who="log in as $$ANGELIA_AIRFLOW_USER, password in $$AIRFLOW_HOME/passwords.json"; \
	      else who="no password, this machine only"; fi; \
	      echo "Airflow is on http://localhost:8080 ($$who); log: $$AIRFLOW_HOME/standalone.log; make down stops it"; \
	      if [ "$(NIGHTS)" = on ]; then echo "Its DAGs are switched on: nights, deliveries, effects and training run by themselves"; \
	      else echo "New DAGs are paused: no night runs by itself until the switch beside it is on; make down up NIGHTS=on switches on all"; fi; exit 0; fi; \
	    if ! kill -0 "$$(cat standalone.pid)" 2>/dev/null; then \
	      echo "error: Airflow ended while starting; its last words are in $$AIRFLOW_HOME/standalone.log" >&2; exit 2; fi; \
	    sleep 1; done && \
	  { echo "error: Airflow did not answer within $(UP_SECONDS) s; see $$AIRFLOW_HOME/standalone.log; make down stops it" >&2; exit 2; }

down: ## stop what `make up` started
	@pid="$(ANGELIA_HOME)/airflow/standalone.pid"; [ ! -f "$$pid" ] || { kill -TERM -- "-$$(cat "$$pid")"; rm "$$pid"; }

LOCK := --universal --python-version 3.11 --generate-hashes --override overrides.txt --no-header --no-emit-index-url
lock: setup ## compile requirements-dev.in into requirements.lock, and the packages of the image into docker/requirements.lock
	$(BIN)/uv pip compile requirements-dev.in requirements-compiled.in $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile docker/requirements.in --constraints requirements.lock $(LOCK) -o docker/requirements.lock
	$(BIN)/uv pip compile docker/sbom.in $(LOCK) -o docker/sbom.lock

ENGINE ?= docker
COMPOSE = $(ENGINE) compose --env-file docker/.env -f docker/compose.yaml
images: ## build the image angelia:local (ENGINE=podman builds it with podman; BUILD adds options, as --secret id=pip,src=/etc/pip.conf)
	$(ENGINE) build -f docker/Dockerfile --build-arg VERSION="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" -t angelia:local $(BUILD) .

compose-up: ## start Airflow on Celery, Spark, PostgreSQL, Redis and S3 from the image, with new secrets in docker/.env
	docker/secrets.sh
	$(COMPOSE) up --detach --wait

compose-down: ## stop them; ARGS=--volumes forgets their data, too
	$(COMPOSE) down $(ARGS)
