# Airflow's official image with posguard in it, from the same lock file as everywhere else.
ARG AIRFLOW_VERSION=3.3.2
FROM apache/airflow:${AIRFLOW_VERSION}-python3.11

USER root
WORKDIR /opt/posguard
COPY --chown=airflow:root requirements.lock pyproject.toml README.md LICENSE ./
COPY --chown=airflow:root posguard/ posguard/
COPY --chown=airflow:root migrations/ migrations/
COPY --chown=airflow:root expectations/ expectations/
COPY --chown=airflow:root dags/ dags/
COPY --chown=airflow:root plugins/ plugins/
COPY --chown=airflow:root tools/lock_for_image.py tools/lock_for_image.py

USER airflow
# A volume mounted here takes over this folder's owner.
RUN mkdir -p /opt/airflow/passwords
# The image brings Airflow, its providers and their versions: from the lock comes what it lacks, with hashes, and the
# image's own packages stay as they are.
RUN python tools/lock_for_image.py requirements.lock > /tmp/posguard.lock \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/posguard.lock \
    && pip install --no-cache-dir --no-deps --no-build-isolation . \
    && rm /tmp/posguard.lock \
    && posguard --version

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/posguard/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/posguard/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    GX_ANALYTICS_ENABLED=false
