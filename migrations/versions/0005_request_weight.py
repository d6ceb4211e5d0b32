"""The request budget that all processes share: what each has booked of a venue's limit, and the pauses venues asked for."""

from posguard.postgres.migrate import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0005_request_weight_up")


def downgrade() -> None:
    run_sql("0005_request_weight_down")
