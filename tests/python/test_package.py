"""The package itself: names, generated files, exceptions, the stub beside the extension."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import tls_requests
from tls_requests import _core, exceptions
from tls_requests._errors import ERRORS

EVERY_EXCEPTION = [cls for cls in map(exceptions.__dict__.get, exceptions.__all__) if not issubclass(cls, Warning)]


def test_names():
    for name in tls_requests.__all__:
        value = getattr(tls_requests, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ == "tls_requests", name
    assert repr(tls_requests.Client) == "<class 'tls_requests.Client'>"
    assert len(tls_requests.__all__) == len(set(tls_requests.__all__))
    for name in ("api", "client", "exceptions", "models", "settings", "types", "utils"):
        assert inspect.ismodule(getattr(tls_requests, name))
    assert inspect.isfunction(tls_requests.request)
    assert tls_requests.DEFAULT_TIMEOUT == 30.0
    with pytest.raises(AttributeError):
        _ = tls_requests.no_such_name
    from tls_requests.client import AsyncClient, BaseClient, Client, ClientState, ProtocolType, logger

    assert issubclass(Client, BaseClient) and issubclass(AsyncClient, BaseClient)
    assert ClientState.OPENED == 2 and ProtocolType.AUTO == "auto" and logger.name == "TLSRequests"


@pytest.mark.parametrize(
    "name",
    [
        "auth",
        "cookies",
        "encoders",
        "headers",
        "libraries",
        "request",
        "response",
        "rotators",
        "status_codes",
        "tls",
        "urls",
    ],
)
def test_models(name):
    module = importlib.import_module(f"tls_requests.models.{name}")
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public)
    import tls_requests.models

    for public in tls_requests.models.__all__:
        assert hasattr(tls_requests.models, public)


def test_generated_files_are_up_to_date(root):
    done = subprocess.run(
        [sys.executable, str(root / "tools/gen_errors.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_errors_are_those_of_the_engine():
    assert [(code, *ERRORS[code][::2]) for code in ERRORS] == [tuple(row) for row in _core.error_rows()]
    for code in ERRORS:
        assert issubclass(exceptions.error_class(code), Exception)


def test_exception_tree():
    assert not issubclass(exceptions.HTTPError, OSError)
    assert all(issubclass(cls, exceptions.HTTPError) for cls in EVERY_EXCEPTION)
    assert issubclass(exceptions.CookieConflictError, exceptions.CookieError)
    assert issubclass(exceptions.URLParamsError, exceptions.URLError)
    assert issubclass(exceptions.StreamConsumed, exceptions.StreamError)
    assert issubclass(exceptions.CertificateError, exceptions.TLSError)
    assert issubclass(exceptions.ReadTimeout, exceptions.TimeoutError)
    assert sorted(exceptions.__all__) == exceptions.__all__ or len(set(exceptions.__all__)) == len(exceptions.__all__)


@pytest.mark.parametrize("cls", EVERY_EXCEPTION)
def test_exceptions(cls):
    error = cls("text", unknown=1)
    assert (str(error), error.args, error.message) == ("text", ("text",), "text")
    assert error.response is None and error.request is None
    response = tls_requests.Response(200)
    assert cls(message="m", response=response).response is response
    assert cls("m", response=response).request is None
    response.request = tls_requests.Request("GET", "http://a/")
    error = cls("m", response=response)
    assert error.request is response.request
    error.code = "CONNECT_REFUSED"
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), twin.args, twin.code, twin.response) == (cls, ("m",), "CONNECT_REFUSED", None)
    assert str(copy.copy(error)) == "m"


def test_not_given():
    assert repr(_core.NOT_GIVEN) == "NOT_GIVEN" and not _core.NOT_GIVEN
    with pytest.raises(TypeError):
        _core.NotGiven()


@pytest.mark.parametrize("name", ["_Op"])
def test_internal_types_cannot_be_made(name):
    with pytest.raises(TypeError):
        getattr(_core, name)()
    if sys.version_info >= (3, 10):
        with pytest.raises(TypeError):
            _core._Op.marker = 1  # immutable


def test_stub_has_every_name():
    """Each name of the extension is in its stub, and the other way round."""
    tree = ast.parse((Path(tls_requests.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    built = {name for name in dir(_core) if not name.startswith("__")}
    assert built == set(classes) | functions | {"NOT_GIVEN"}
    for name, node in classes.items():
        stub = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        stub |= {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        own = {key for key in vars(getattr(_core, name)) if not key.startswith("__")}
        assert own == {key for key in stub if not key.startswith("__")}, name


def test_jar():
    jar = _core.CookieJar()
    jar.set("a", "1")
    jar.set("b", "2", "example.com", "/p", 4102444800, 1)
    assert len(jar) == 2
    assert jar.items() == [("a", "1", "", "/", 0, 0), ("b", "2", "example.com", "/p", 4102444800, 1)]
    assert jar.header_for("http://other.org/") == "a=1"
    assert jar.header_for("http://example.com/p/x") == "a=1", "b is Secure"
    assert jar.header_for("https://example.com/p/x") == "b=2; a=1"
    assert [item[0] for item in jar.items("https://example.com/p")] == ["a", "b"]
    jar.receive("https://example.com/dir/page", "c=3; HttpOnly; Max-Age=60", 1000)
    assert jar.remove("a") == 1 and jar.remove(None, "example.com") >= 1
    jar.receive("http://x.test/", "n=1")
    jar.receive("http://x.test/", "n=; Max-Age=0")
    assert jar.header_for("http://x.test/") == ""
    with pytest.raises(exceptions.URLError):
        jar.header_for("no url")
    with pytest.raises(TypeError):
        jar.set(1, 2)


def test_profiles():
    assert "chrome_133" in " ".join(_core.profiles())
    names = [name for name, _ in _core.profile_headers("chrome_133", True)]
    assert "user-agent" in names


def test_signatures():
    for function in (tls_requests.get, tls_requests.request, tls_requests.Client.get, tls_requests.AsyncClient.post):
        parameters = inspect.signature(function).parameters
        assert {"url", "params", "headers", "cookies", "auth", "timeout", "follow_redirects"} <= set(parameters)
    assert "timeout" in inspect.signature(tls_requests.Client).parameters
