"""Messages that a person gave up."""

from posguard.postgres.migrate import run_sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0011_alerts_given_up_up")


def downgrade() -> None:
    run_sql("0011_alerts_given_up_down")
