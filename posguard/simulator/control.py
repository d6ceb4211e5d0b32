"""The control API: `/control/...`, JSON in and out. It sets the book, the world and the faults, and shows them."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from posguard.simulator import actions, documents, faults, invariants
from posguard.simulator.records import Reason, Refused

if TYPE_CHECKING:
    from posguard.simulator.server import Simulator

Body = dict[str, Any]
Step = Callable[["Simulator", web.Request, Any], Any]


async def _document(request: web.Request) -> Any:
    if not request.can_read_body:
        return {}
    try:
        return json.loads(await request.text() or "{}")
    except ValueError as bad:
        raise Refused(Reason.BAD_PARAMETER, f"the body is not JSON: {bad}") from bad


def _wrap(simulator: "Simulator", step: Step) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            found = step(simulator, request, await _document(request))
        except (Refused, ValueError, TypeError) as bad:
            return web.json_response({"error": str(bad)}, status=400)
        return web.json_response(found)

    return handle


def _health(simulator: "Simulator", _request: web.Request, _body: Any) -> Body:
    book = simulator.book
    return {
        "ready": True,
        "seed": simulator.seed,
        "now_ms": book.now(),
        "accounts": [f"{venue}/{name}" for venue, name in sorted(book.accounts)],
        "markets": len(book.markets),
        "requests": len(simulator.log),
        "faults": len(simulator.plan.faults),
    }


def _load(simulator: "Simulator", request: web.Request, body: Any) -> Body:
    return documents.load(simulator.book, body, replace=request.query.get("replace") == "true")


def _reset(simulator: "Simulator", _request: web.Request, _body: Any) -> Body:
    """Empty every account, drop faults and log; markets and keys stay."""
    for account in simulator.book.accounts.values():
        for held in (account.positions, account.orders, account.open_orders, account.client_ids):
            held.clear()
        account.fills.clear()
    simulator.plan.clear()
    simulator.log.clear()
    return {}


def _book(simulator: "Simulator", request: web.Request, _body: Any) -> Body:
    """The whole book, or one account's part of it."""
    document = documents.dump(simulator.book)
    document["keys"] = [{k: v for k, v in row.items() if k != "secret"} for row in document["keys"]]
    venue, account = request.query.get("venue"), request.query.get("account")
    for kind in ("positions", "orders", "fills"):
        document[kind] = [
            row
            for row in document[kind]
            if venue in (None, row["venue"]) and account in (None, row["account"])
        ]
    return document


def _act(simulator: "Simulator", _request: web.Request, body: Any) -> Any:
    """One action or a list of them, in order."""
    if isinstance(body, list):
        return [actions.act(simulator.book, row) for row in body]
    return actions.act(simulator.book, body)


def _add_fault(simulator: "Simulator", _request: web.Request, body: Any) -> Any:
    rows = body if isinstance(body, list) else [body]
    added = [simulator.plan.add(fault).id for fault in [faults.read(row) for row in rows]]
    return {"ids": added}


def _faults(simulator: "Simulator", _request: web.Request, _body: Any) -> Any:
    return simulator.plan.rows()


def _clear_faults(simulator: "Simulator", request: web.Request, _body: Any) -> Body:
    number = request.match_info.get("id")
    return {"cleared": simulator.plan.clear(int(number) if number else None)}


def _log(simulator: "Simulator", request: web.Request, _body: Any) -> Any:
    return simulator.log.rows(int(request.query.get("since", "0")))


def _clear_log(simulator: "Simulator", _request: web.Request, _body: Any) -> Body:
    simulator.log.clear()
    return {}


def _invariants(simulator: "Simulator", request: web.Request, _body: Any) -> Body:
    intent = request.query.get("intent", r"^(?P<intent>.+)$")
    return {"violations": invariants.violations(simulator.book, intent=intent)}


def _digests(simulator: "Simulator", _request: web.Request, _body: Any) -> Body:
    return dict(simulator.digests())


ROUTES: tuple[tuple[str, str, Step], ...] = (
    ("GET", "/control/health", _health),
    ("POST", "/control/load", _load),
    ("POST", "/control/reset", _reset),
    ("GET", "/control/book", _book),
    ("POST", "/control/act", _act),
    ("GET", "/control/faults", _faults),
    ("POST", "/control/faults", _add_fault),
    ("DELETE", "/control/faults", _clear_faults),
    ("DELETE", "/control/faults/{id:\\d+}", _clear_faults),
    ("GET", "/control/log", _log),
    ("DELETE", "/control/log", _clear_log),
    ("GET", "/control/invariants", _invariants),
    ("GET", "/control/digests", _digests),
)


def add_routes(app: web.Application, simulator: "Simulator") -> None:
    """Put the control API before the venues' paths."""
    for method, path, step in ROUTES:
        app.router.add_route(method, path, _wrap(simulator, step))
