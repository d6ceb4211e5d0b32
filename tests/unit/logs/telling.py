"""Events of a made-up log, in the order of their lines."""

from datetime import UTC, datetime, timedelta

from posguard.logs.correlate import correlate
from posguard.logs.creates import creates
from posguard.logs.races import duplicate_errors, find_races, races_and_undecided
from posguard.model.log_event import Category, LogEvent

START = datetime(2025, 10, 22, 21, 50, 40, 983_000, tzinfo=UTC)


class Log:
    """A log that grows line by line; times are milliseconds after START."""

    def __init__(self, source="bot", start=START):
        self.source, self.start = source, start
        self.events = []

    def say(
        self, ms, kind, message="", *, module="core.position_manager", level="INFO", pattern="", **fields
    ):
        self.events.append(
            LogEvent(
                at=self.start + timedelta(milliseconds=ms),
                kind=kind,
                category=Category.POSITIONS,
                level=level,
                module=module,
                message=message or kind,
                source=self.source,
                offset=len(self.events) * 200,
                size=199,
                pattern=pattern or f"{kind}:{message[:12]}",
                **fields,
            )
        )
        return self

    def correlated(self):
        return correlate(self.events)

    def creates(self):
        return creates(self.correlated())

    def races(self, **zones):
        told = self.correlated()
        return find_races(told, creates(told), zones or {self.source: "Europe/Berlin"})

    def undecided(self):
        told = self.correlated()
        return races_and_undecided(told, creates(told), {}, duplicate_errors(told))[1]


def incident_1(log=None):
    """APTUSDT: the synchroniser inserts while the signal's row is out of the index."""
    log = log or Log()
    say = log.say
    say(
        -600,
        "opening",
        "Opening position ATOMICALLY: APTUSDT BUY 61.8",
        module="core.atomic_position_manager",
        symbol="APTUSDT",
    )
    say(
        -3,
        "inserting",
        "Executing INSERT for APTUSDT, quantity=61.8",
        module="database.repository",
        symbol="APTUSDT",
    )
    say(
        0,
        "created",
        "Position record created: ID=2548",
        module="core.atomic_position_manager",
        position_id=2548,
    )
    say(
        500,
        "entry_placed",
        "Entry order placed: 53190368",
        module="core.atomic_position_manager",
        order_id="53190368",
    )
    say(
        1000,
        "updated",
        "Updating position #2548 to entry_placed",
        module="database.repository",
        position_id=2548,
        status="entry_placed",
    )
    say(
        3600,
        "sync_started",
        "Position sync started for binance",
        module="core.position_synchronizer",
        exchange="binance",
    )
    say(
        3640,
        "sync_found",
        "Found 34 positions on binance",
        module="core.position_synchronizer",
        exchange="binance",
    )
    say(
        3750,
        "inserting",
        "Executing INSERT for APTUSDT, quantity=61.0",
        module="database.repository",
        symbol="APTUSDT",
    )
    say(
        3756,
        "sync_added",
        "Added new position: APTUSDT",
        module="core.position_synchronizer",
        symbol="APT/USDT:USDT",
    )
    say(3790, "sync_completed", "Periodic sync completed", module="core.position_synchronizer")
    say(4900, "stop_placed", "Stop-loss placed successfully", module="core.stop_loss_manager")
    say(
        4930,
        "updated",
        "Updating position #2548 to active",
        module="database.repository",
        position_id=2548,
        status="active",
    )
    error = 'duplicate key value violates unique constraint "idx_unique_active_position"'
    say(
        4931,
        "duplicate_error",
        error,
        module="database.repository",
        level="ERROR",
        symbol="APTUSDT",
        exchange="binance",
    )
    say(
        4932,
        "duplicate_error",
        f"asyncpg.exceptions.UniqueViolationError: {error}",
        module="core.atomic_position_manager",
        level="ERROR",
    )
    say(
        4933,
        "rollback",
        f"Atomic position creation failed: {error}",
        module="core.atomic_position_manager",
        level="ERROR",
    )
    say(
        4935,
        "rollback",
        "Rolling back position for APTUSDT, state=pending_sl",
        module="core.atomic_position_manager",
        level="WARNING",
        symbol="APTUSDT",
    )
    say(
        4990,
        "duplicate_error",
        f"Error opening position: {error}\\nDETAIL",
        module="core.signal_processor",
        level="ERROR",
        symbol="APTUSDT",
    )
    return log


def incident_2(log=None):
    """KASUSDT: one open, two inserts 34 ms apart, no error."""
    log = log or Log(start=datetime(2025, 10, 22, 23, 21, 12, tzinfo=UTC))
    say = log.say
    say(
        164,
        "opening",
        "Opening position ATOMICALLY: KASUSDT BUY 900",
        module="core.atomic_position_manager",
        symbol="KASUSDT",
    )
    say(
        815,
        "inserting",
        "Executing INSERT for KASUSDT, quantity=900",
        module="database.repository",
        symbol="KASUSDT",
    )
    say(
        819,
        "created",
        "Position record created: ID=275",
        module="core.atomic_position_manager",
        position_id=275,
    )
    say(
        850,
        "inserting",
        "Executing INSERT for KASUSDT, quantity=900",
        module="database.repository",
        symbol="KASUSDT",
    )
    say(
        853,
        "created",
        "Position record created: ID=276",
        module="core.atomic_position_manager",
        position_id=276,
    )
    say(
        3086,
        "saved",
        "Position saved: KASUSDT #275",
        module="core.position_manager",
        symbol="KASUSDT",
        position_id=275,
    )
    return log
