"""Which labels the sources of a recipe give, as far as can be known before their tables are there."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskprompt.core.errors import told
from taskprompt.core.labeler import Labeler
from taskprompt.core.source import Source
from taskprompt.labels.join import all_labels, opened


@dataclass(frozen=True)
class Labels:
    """What a source's clips carry, as far as can be known here."""

    source: str  # its name
    names: tuple[str, ...] = ()
    complete: bool = True  # False: there may be others
    only: tuple[str, ...] | None = None
    planned: tuple[str, ...] = ()  # those that the recipe's labelers write to its tables, there or not yet

    def may_have(self, label: str) -> bool:
        """Could a clip of the source carry this label, before `only`?"""
        return label in self.names or not self.complete

    def may_give(self, label: str) -> bool:
        """The same, behind `only`."""
        return self.may_have(label) and (self.only is None or label in self.only)

    @property
    def given(self) -> tuple[str, ...]:
        """The known labels that `only` keeps."""
        return tuple(n for n in self.names if self.only is None or n in self.only)


def source_labels(name: str, source: Source, writers: Mapping[str, Labeler]) -> tuple[Labels, str | None]:
    """The labels of a source, and why its folder or tables cannot be read. writers: table -> what writes it."""
    planned = {t.path: _made_by(writers.get(t.path)) for t in source.tables}
    every = tuple(n for names in planned.values() for n in names)
    try:
        return Labels(name, all_labels(source), True, source.only, every), None
    except Exception as error:
        unread = told(error)
    names: list[str] = []
    complete = True
    try:
        names += source.own_labels()
    except Exception:
        complete = False
    for table in source.tables:
        try:
            names += opened(table).labels
        except Exception:
            names += planned[table.path]
            complete = complete and bool(planned[table.path])
    return Labels(name, tuple(dict.fromkeys(names)), complete, source.only, every), unread


def _made_by(labeler: Labeler | None) -> tuple[str, ...]:
    try:
        return labeler.labels() if labeler else ()
    except Exception:
        return ()
