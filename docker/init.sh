#!/usr/bin/env bash
# Before anything else starts: Airflow's schema, its first user, posguard's schema in the bot's database. Again is fine.
set -euo pipefail
airflow db migrate
airflow users create --role Admin --username admin --password "$AIRFLOW_ADMIN_PASSWORD" \
  --firstname posguard --lastname admin --email admin@example.invalid
POSGUARD_DSN="$BOT_MIGRATION_DSN" posguard db upgrade
