"""Taking a cleanup back: announced rows, and the function that writes one as it was."""

from posguard.postgres.migrate import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0004_restore_up")


def downgrade() -> None:
    run_sql("0004_restore_down")
