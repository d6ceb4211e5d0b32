"""`posguard check`: looks at everything posguard needs, and touches nothing."""


def check() -> None:
    """Look without touching at all that posguard needs (not built yet).

    \b
    Examples:
      posguard check
    """
    from posguard.errors import NotBuiltError

    raise NotBuiltError("`posguard check` is not built yet. Nothing was done.")
