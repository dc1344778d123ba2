"""How answers to players look: one object as XML or JSON, and errors by the numbers of OpenSubsonic.

Source:
    OpenSubsonic API 1.16.1, api-reference and responses: https://opensubsonic.netlify.app/docs
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from xml.etree import ElementTree

from fastapi import Response

from solfa.errors import SolfaError
from solfa.serving.schemas import LARGEST

NAMESPACE = "http://subsonic.org/restapi"
PROTOCOL = "1.16.1"
GENERIC, MISSING, OLD_CLIENT, OLD_SERVER, WRONG_PASSWORD = 0, 10, 20, 30, 40
CONFLICTING, WRONG_KEY, NOT_ALLOWED, NOT_FOUND = 43, 44, 50, 70
UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0

Values = Mapping[str, Any]


class PlayerError(SolfaError, ValueError):
    """What a player is told, with its number among those of the protocol."""

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Asked:
    """The parameters of a request; a name may stand there several times."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def all(self, name: str) -> list[str]:
        """All values of a name."""
        return self._values.get(name, [])

    def text(self, name: str) -> str:
        """The value of a name. Raises PlayerError if it is missing."""
        if name not in self:
            raise PlayerError(MISSING, f"The parameter {name} is missing.")
        return self._values[name][0]

    def count(self, name: str, default: int, most: int) -> int:
        """A number of things: the default if none is given, and at most ``most``."""
        text = self._values.get(name, [str(default)])[0].strip()
        if not text.isascii() or not text.isdecimal():
            raise PlayerError(GENERIC, f"The parameter {name} is no whole number: {text!r:.50}.")
        return min(int(text[:18]), most)

    def ids(self, name: str) -> list[int]:
        """The numbers of tracks or playlists. Raises PlayerError if there can be none of such a name."""
        return [self.number(text) for text in self.all(name)]

    def id(self, name: str = "id") -> int:
        """The number of a track or a playlist, which must be given."""
        return self.number(self.text(name))

    @staticmethod
    def number(text: str) -> int:
        """The number that stands for a track or a playlist. Raises PlayerError if there can be none."""
        if text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= LARGEST:
            return int(text[:20])
        raise PlayerError(NOT_FOUND, f"There is no {text!r:.50} here.")


def check_password(asked: Asked, password: str) -> None:
    """Let nobody pass without the password, as ``apiKey`` or under any name by ``t``, ``s`` or ``p``.

    Raises:
        PlayerError: it is missing, wrong, or given in two ways.
    """
    if "apiKey" in asked:
        if any(name in asked for name in ("u", "p", "t", "s")):
            raise PlayerError(CONFLICTING, "apiKey stands alone, without u, p, t and s.")
        if not _same(asked.text("apiKey"), password):
            raise PlayerError(WRONG_KEY, "This API key is wrong. It is the password of the page.")
        return
    asked.text("u")
    if "p" in asked and "t" in asked:
        raise PlayerError(CONFLICTING, "Send either p, or t and s.")
    if "t" in asked:
        # The protocol has MD5; who needs more puts the server behind TLS.
        wanted = hashlib.md5((password + asked.text("s")).encode(), usedforsecurity=False).hexdigest()
        is_right = _same(asked.text("t").lower(), wanted)
    else:
        is_right = _same(_clear(asked.text("p")), password)
    if not is_right:
        raise PlayerError(WRONG_PASSWORD, "Wrong username or password.")


def check_protocol(asked: Asked) -> None:
    """Refuse who speaks another major version. Raises PlayerError."""
    major = asked.all("v")[0].split(".")[0] if "v" in asked else "1"
    if major != "1":
        code, who = (OLD_CLIENT, "The player") if major == "0" else (OLD_SERVER, "The server")
        raise PlayerError(code, f"{who} is too old: this server speaks version {PROTOCOL}.")


def answered(asked: Asked, values: Values, *, status: int = 200, is_failed: bool = False) -> Response:
    """An answer in the form that was asked for: XML, or JSON with ``f=json``."""
    whole = {
        "status": "failed" if is_failed else "ok", "version": PROTOCOL, "type": "solfa",
        "serverVersion": version("solfa"), "openSubsonic": True, **_speakable(values),
    }  # fmt: skip
    if asked.all("f")[:1] == ["json"]:
        return Response(json.dumps({"subsonic-response": whole}), status, media_type="application/json")
    root = _element("subsonic-response", {"xmlns": NAMESPACE, **whole})
    text = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(text, status, media_type="application/xml; charset=utf-8")


def refused(asked: Asked, error: PlayerError) -> Response:
    """An error in the form that was asked for."""
    values = {"error": {"code": error.code, "message": str(error)}}
    return answered(asked, values, status=error.status, is_failed=True)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def _clear(password: str) -> str:
    """A password as it is or, behind ``enc:``, as hexadecimal digits of its UTF-8."""
    if not password.startswith("enc:"):
        return password
    try:
        return bytes.fromhex(password[4:]).decode("utf-8", "replace")
    except ValueError:
        return ""  # it is nobody's


def _speakable(value: Any) -> Any:
    """Values without the characters that XML cannot hold."""
    if isinstance(value, str):
        return UNSPEAKABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {name: _speakable(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_speakable(inner) for inner in value]
    return value


def _element(name: str, value: Any) -> ElementTree.Element:
    """Values as attributes, objects as elements, lists as an element for each of them."""
    element = ElementTree.Element(name)
    if not isinstance(value, Mapping):
        element.text = _text(value)
        return element
    for key, inner in value.items():
        if isinstance(inner, list):
            element.extend(_element(key, one) for one in inner)
        elif isinstance(inner, Mapping):
            element.append(_element(key, inner))
        elif key == "value":  # what a list of genres has in JSON, since its elements are texts
            element.text = _text(inner)
        else:
            element.set(key, _text(inner))
    return element


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
