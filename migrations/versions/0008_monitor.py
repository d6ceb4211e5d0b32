"""What the monitor sees: its runs, their snapshots, the alerts it raised and the counts of all time."""

from posguard.postgres.migrate import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0008_monitor_up")


def downgrade() -> None:
    run_sql("0008_monitor_down")
