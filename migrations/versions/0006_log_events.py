"""What the bot's logs say, by month, and which file said it."""

from posguard.postgres.migrate import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0006_log_events_up")


def downgrade() -> None:
    run_sql("0006_log_events_down")
