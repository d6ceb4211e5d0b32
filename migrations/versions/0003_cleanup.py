"""What the cleanup records: plans, their lines, and every step of carrying them out."""

from posguard.postgres.migrate import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0003_cleanup_up")


def downgrade() -> None:
    run_sql("0003_cleanup_down")
