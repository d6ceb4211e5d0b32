"""How alerts reach people: topics in the outbox, messages by route with their tries, and the watch over the reconciliation."""

from posguard.postgres.migrate import run_sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0009_alerts_up")


def downgrade() -> None:
    run_sql("0009_alerts_down")
