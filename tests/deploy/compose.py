"""Reads `docker-compose.yml` as compose would, and runs its services as local processes against real servers."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
_VARIABLE = re.compile(r"\$\{(\w+)(?::?([?-])([^}]*))?\}")


class MissingVariableError(Exception):
    """A variable that the compose file demands is not set."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-default}` and `${NAME:?message}`."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if name in variables:
            return variables[name]
        if operator == "?":
            raise MissingVariableError(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text)


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with every variable filled in."""
    text = (ROOT / "docker-compose.yml").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return cast(dict[str, Any], yaml.safe_load(interpolate(body, variables)))


def environment(service: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, str]:
    """The service's environment; `hosts` maps what only resolves inside compose's network."""

    def local(text: str) -> str:
        for inside, here in hosts.items():
            text = text.replace(inside, here)
        return text

    return {name: local(str(value)) for name, value in service.get("environment", {}).items()}


def start(
    service: Mapping[str, Any], hosts: Mapping[str, str], extra: Mapping[str, str], log: Path, port: int = 0
) -> subprocess.Popen[bytes]:
    """The service's own command with its own environment, as a local process."""
    command = [str(part) for part in service["command"]]
    if port:
        command[command.index("--port") + 1] = str(port)
        command[command.index("--host") + 1] = "127.0.0.1"
    program = [PYTHON, "-m", "service.cli.main", *command[1:]] if command[0] == "trainwright" else command
    own = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        return subprocess.Popen(
            program,
            cwd=ROOT,
            env={**own, **environment(service, hosts), **extra},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
