"""posguard's own schema: runs, findings and their life, suite results."""

from posguard.postgres.migrate import run_sql

revision = "0001"
down_revision = None
branch_labels = ("posguard",)
depends_on = None


def upgrade() -> None:
    run_sql("0001_posguard_schema_up")


def downgrade() -> None:
    run_sql("0001_posguard_schema_down")
