"""From a request to the row that is to be born: bad input is refused here, before anything is written. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from posguard.errors import InputError
from posguard.model.managed import Birth, client_id
from posguard.model.money import plain
from posguard.model.position import PositionKey, PositionSide, Side, Status
from posguard.model.symbol import canonical_symbol
from posguard.model.transitions import Origin
from posguard.trading.stops import on_tick

if TYPE_CHECKING:
    from posguard.model.venue import MarketRule
    from posguard.trading.settings import CoreSettings
    from posguard.trading.words import OpenRequest

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_MOST = Decimal(10) ** 11  # numeric(20,8) holds less than ten times that
_LONGEST = 20  # characters of a symbol in the bot's table


def key_of(request: OpenRequest) -> PositionKey:
    """The key that a request claims. Raises InputError."""
    if not _KEY.fullmatch(str(request.request_key)):
        raise InputError("request_key", "it must be 1 to 200 printable characters without spaces.")
    symbol = canonical_symbol(str(request.symbol))
    if not 0 < len(symbol) <= _LONGEST:
        raise InputError("symbol", f"'{request.symbol}' is no symbol of at most {_LONGEST} characters.")
    try:
        leg = PositionSide(request.position_side)
        side = Side(request.side)
    except ValueError as error:
        field = "side" if "PositionSide" not in str(error) else "position_side"
        raise InputError(field, f"{error}.") from None
    if leg is not PositionSide.BOTH and leg.value != side.value:
        raise InputError("position_side", f"the {leg} leg cannot hold a {side} position.")
    return PositionKey(str(request.exchange).strip().lower(), request.account, symbol, leg)


def birth_of(
    request: OpenRequest, key: PositionKey, rule: MarketRule | None, settings: CoreSettings
) -> Birth:
    """The row of a request, its quantity on the market's lot step. Raises InputError that names the field."""
    quantity = positive("quantity", request.quantity)
    price = positive("price", request.price)
    if rule is None:
        raise InputError("symbol", f"{key.symbol} is no linear perpetual that {key.exchange} lists.")
    rounded = (quantity / rule.lot_step).quantize(Decimal(1), ROUND_DOWN) * rule.lot_step
    if rounded < max(rule.min_quantity, rule.lot_step):
        least = plain(max(rule.min_quantity, rule.lot_step))
        raise InputError("quantity", f"{plain(quantity)} is less than {least}, the least of {key.symbol}.")
    if rounded * price < rule.min_notional:
        raise InputError(
            "quantity",
            f"{plain(rounded)} at {plain(price)} is worth less than {plain(rule.min_notional)},"
            f" the least of {key.symbol}.",
        )
    stop, percent = _stop(request, price, rule, settings)
    return Birth(
        key=key,
        side=Side(request.side),
        quantity=rounded,
        entry_price=price,
        status=Status.PENDING_ENTRY,
        request_key=request.request_key,
        origin=Origin.SIGNAL,
        reason="a new position is wanted",
        entry_client_id=client_id(request.request_key, "e", 1),
        stop_loss_price=stop,
        stop_percent=percent,
        signal_id=request.signal_id,
    )


def positive(field: str, value: object) -> Decimal:
    """The value as a Decimal above zero. Raises InputError that names the field."""
    if isinstance(value, float):
        raise InputError(field, "it must be a Decimal; a float's digits are not those that were meant.")
    if not isinstance(value, Decimal | int) or isinstance(value, bool):
        raise InputError(field, f"{value!r} is no Decimal.")
    number = Decimal(value)
    if not number.is_finite() or not 0 < number < _MOST:
        raise InputError(field, f"{number} is not above zero and below {plain(_MOST)}.")
    return number


def _stop(
    request: OpenRequest, price: Decimal, rule: MarketRule, settings: CoreSettings
) -> tuple[Decimal | None, Decimal | None]:
    if request.stop_price is not None and request.stop_percent is not None:
        raise InputError("stop_percent", "name either stop_price or stop_percent, not both.")
    if request.stop_price is None:
        percent = settings.default_stop_percent
        if request.stop_percent is not None:
            percent = positive("stop_percent", request.stop_percent)
        if percent >= 100:
            raise InputError("stop_percent", f"{plain(percent)} is not below 100.")
        return None, percent
    stop = on_tick(positive("stop_price", request.stop_price), rule)
    losing = stop < price if request.side is Side.LONG else stop > price
    if not losing or stop <= 0:
        side = "below" if request.side is Side.LONG else "above"
        raise InputError(
            "stop_price",
            f"{plain(request.stop_price)} is not {side} the price {plain(price)} of a {request.side} position.",
        )
    return stop, None
