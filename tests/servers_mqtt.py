"""A throw-away MQTT broker: Mosquitto, with a password or without."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.servers import free_port

_PLACES = "/usr/sbin:/usr/local/sbin"


class MqttBroker:
    def __init__(self, user: str | None = None, password: str = "") -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_PLACES)
        if program is None:
            pytest.skip("mosquitto is not installed: `make test` installs it, or: apt-get install mosquitto")
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="heliowatch-mqtt-"))
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if user else 'true'}"]
        if user:
            passwords = self.home / "passwords"
            passwords.touch()
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True)
            self.home.chmod(0o755)
            passwords.chmod(0o644)
            lines.append(f"password_file {passwords}")
        config = self.home / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._await()

    def _await(self) -> None:
        import socket

        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("Mosquitto did not start")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
