# Airflow's official image with posguard, its DAGs and its page. Versions and hashes stand in docker/requirements.lock.
FROM apache/airflow:slim-3.3.2-python3.11

COPY --chown=airflow:0 docker/requirements.lock /opt/posguard/docker/requirements.lock
RUN pip install --no-cache-dir --require-hashes -r /opt/posguard/docker/requirements.lock

COPY --chown=airflow:0 pyproject.toml README.md LICENSE /opt/posguard/
COPY --chown=airflow:0 posguard /opt/posguard/posguard
COPY --chown=airflow:0 migrations /opt/posguard/migrations
COPY --chown=airflow:0 expectations /opt/posguard/expectations
RUN pip install --no-cache-dir --no-deps --no-build-isolation /opt/posguard && posguard --version

COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 docker/init.sh /opt/posguard/docker/init.sh
# Made here, so that the volume over it belongs to Airflow's user.
RUN mkdir -m 700 /opt/airflow/backups
RUN mkdir -m 700 /opt/airflow/monitor
