"""Named baselines: how the bot did over a past period, for later ones to be measured against."""

from posguard.postgres.migrate import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0007_baselines_up")


def downgrade() -> None:
    run_sql("0007_baselines_down")
