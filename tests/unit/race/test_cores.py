"""Which core a name stands for, and what a name that leads nowhere is told."""

from __future__ import annotations

import pytest

from posguard.errors import UsageError
from posguard.race import cores
from posguard.race.cores import CoreWorld, Tables, build, maker

WORLD = CoreWorld("", None, None, 1.0, 0)


@pytest.fixture
def module(tmp_path, monkeypatch):
    def write(text):
        (tmp_path / "made_up_core.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(cores.sys.modules, "made_up_core", raising=False)

    return write


def test_the_two_that_are_there():
    assert maker("defective").tables is Tables.OLD
    assert maker("corrected").tables is Tables.UPGRADED
    assert maker("corrected").before_send is not None, (
        "lease and kill switch are looked at before each request"
    )


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("other", "", "module:object"),
        ("made_up_core:", "", "module:object"),
        ("no_such_module_here:Core", "", "no_such_module_here"),
        ("made_up_core:Core", "", "Core"),
        ("made_up_core:Core", "Core = 3", "cannot be called"),
        ("made_up_core:Core", "1 / 0", "ZeroDivisionError"),
        ("made_up_core:Core", "class Core:\n    tables = 'new'", "new"),
    ],
)
def test_a_name_that_leads_nowhere(module, name, text, word):
    module(text)
    with pytest.raises(UsageError, match=word):
        maker(name)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def Core(world): raise ValueError('no')", "ValueError: no"),
        ("def Core(world): return 3", "no coroutine `open"),
        (
            "class Core:\n    def __init__(self, world): pass\n    def open(self, signal): pass",
            "no coroutine",
        ),
    ],
)
async def test_a_core_that_cannot_be_made(module, text, word):
    module(text)
    with pytest.raises(UsageError, match=word):
        await build("made_up_core:Core", WORLD)


async def test_what_a_core_lacks_does_nothing(module):
    module(
        "class Core:\n    def __init__(self, world): pass\n    async def open(self, signal): return signal"
    )
    core = await build("made_up_core:Core", WORLD)
    assert await core.open(5) == 5
    for step in (core.synchronise, core.cleanup, core.settle, core.close):
        assert await step() is None
    assert not core.has("synchronise")
