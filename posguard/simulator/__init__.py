"""Binance USDⓈ-M and Bybit v5 on the wire, one book behind both, faults on demand. Tied to nothing else here."""

from posguard.simulator.book import Book
from posguard.simulator.client import SimulatorControl, SimulatorError
from posguard.simulator.faults import Fault
from posguard.simulator.records import ManualClock
from posguard.simulator.server import Simulator

__all__ = ["Book", "Fault", "ManualClock", "Simulator", "SimulatorControl", "SimulatorError"]
