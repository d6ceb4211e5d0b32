"""What the trading core records: transitions, gaps in protection, alerts, the kill switch; and the steps of target `bot`."""

from posguard.postgres.migrate import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0002_core_tables_up")


def downgrade() -> None:
    run_sql("0002_core_tables_down")
