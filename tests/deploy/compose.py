"""Reads `docker-compose.yml` as compose would, and runs its services as local processes against real servers."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+):-([^}]*)\})")


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Compose's `${NAME:-default}`, and `$$` for a dollar sign."""
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[2]) if match[1] else "$", text)


def defaults() -> dict[str, str]:
    """Every variable of the compose file, with its default."""
    pairs = _VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    return {name: default for name, default in pairs if name}


def load(variables: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The compose file with every variable filled in."""
    text = (ROOT / "docker-compose.yml").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return cast(dict[str, Any], yaml.safe_load(interpolate(body, variables)))


def localized(text: str, places: Mapping[str, str]) -> str:
    """A text with what only exists inside compose's containers replaced by what is here."""
    for inside, here in places.items():
        text = text.replace(inside, here)
    return text


def environment(service: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, str]:
    """The service's environment, localized."""
    return {name: localized(str(value), places) for name, value in service.get("environment", {}).items()}


def start(
    service: Mapping[str, Any], places: Mapping[str, str], extra: Mapping[str, str], log: Path, port: int = 0
) -> subprocess.Popen[bytes]:
    """The service's own command with its own environment, as a local process."""
    command = [localized(str(part), places) for part in service["command"]]
    if port:
        command[command.index("--port") + 1] = str(port)
        command[command.index("--host") + 1] = "127.0.0.1"
    program = [PYTHON, "-m", "service.cli.main", *command[1:]] if command[0] == "trainwright" else command
    own = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        return subprocess.Popen(
            program,
            cwd=ROOT,
            env={**own, **environment(service, places), **extra},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
