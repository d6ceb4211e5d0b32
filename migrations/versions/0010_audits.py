"""The reports of audits that Airflow made."""

from posguard.postgres.migrate import run_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0010_audits_up")


def downgrade() -> None:
    run_sql("0010_audits_down")
