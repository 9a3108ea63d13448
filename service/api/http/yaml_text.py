"""YAML specs: YAML 1.2's numbers (`1e-3` is one), no dates, no tags, and no aliases (they can be made to explode)."""

import re
from typing import Any

import yaml


class YamlTextError(ValueError):
    """The text is not YAML that a spec may be written in; the message says where."""


class _SpecLoader(yaml.SafeLoader):
    """SafeLoader without timestamps and aliases, and with numbers like `1e-3`."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", None)
        return super().compose_node(parent, index)


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
        return yaml.load(text, Loader=_SpecLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise YamlTextError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlTextError("nested too deeply") from error
