"""YAML specs: YAML 1.2's numbers (`1e-3` is one), no dates, no tags, and no aliases (they can be made to explode)."""

import re
from collections import Counter
from typing import Any

import yaml


class YamlTextError(ValueError):
    """The text is not YAML that a spec may be written in; the message says where."""


MAX_DEPTH, MAX_VALUES = 100, 20_000
# libyaml's, eight times as fast, where PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _SpecLoader(_Loader):  # type: ignore[misc]
    """SafeLoader without timestamps, with numbers like `1e-3`, and with each key once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """The mapping; raises YamlTextError when a key stands twice, for either could be meant."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            keys = Counter(str(self.construct_object(key)) for key, _ in node.value)
            raise YamlTextError(f"the key `{keys.most_common(1)[0][0][:200]}` is given twice")
        return mapping


_SpecLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_SpecLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load(text: str | bytes) -> Any:
    """The value that a YAML text stands for; raises YamlTextError."""
    try:
        _check_events(text)
        return yaml.load(text, Loader=_SpecLoader)
    except YamlTextError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise YamlTextError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlTextError("nested too deeply") from error


def _check_events(text: str | bytes) -> None:
    """Refuses aliases, more values than a spec has, and nesting that would exhaust the stack of a recursive reader."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_SpecLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise YamlTextError("aliases are not allowed")
        if number > MAX_VALUES:
            raise YamlTextError(f"more than {MAX_VALUES:,} values; send JSON")
        if depth > MAX_DEPTH:
            raise YamlTextError("nested too deeply")
