"""The documentation is tested: its blocks run or parse, its links lead somewhere, and nothing that can be used is left out.

How it finds things: commands and options from `recengine.cli.parser`, configuration keys from the tree of
`recengine.config`, codes from `recengine.errors`, metrics from `recengine.metrics`, targets from the Makefile. They must
stand in README.md or docs/*.md, in backquotes or in a block of code.
"""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import typing
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest

from recengine import config, errors
from recengine.cli.parser import build
from recengine.metrics import beyond, calibration, ranking, ratings
from recengine.server.metrics import NAMES
from recengine.server.problems import CODES as PROBLEMS
from recengine.server.problems import STATUS
from recengine.server.routes import HANDLERS
from tests.house.source import ROOT
from tests.serving import Served

SERVED = "http://127.0.0.1:8000"
"""Where README.md's lines find the service."""
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README} | {
    p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md"))
}
BLOCKS = [
    (page, language, body)
    for page, text in PAGES.items()
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]
CODE = "\n".join([*(body for _, _, body in BLOCKS), *(span for text in PAGES.values() for span in re.findall(r"`([^`\n]+)`", text))])


def commands():
    """Every command of the parser, with its own parser."""
    action = next(a for a in build()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def keys(struct, prefix):
    """Every `section.key` of a configuration Struct; the sections of the tree are its first level."""
    return [f"{prefix}{field.name}" for field in msgspec.structs.fields(struct)]


def configuration():
    sections = {
        "store": [config.Storage],
        "event": [config.EventType],
        "model": list(typing.get_args(config.ModelConfig)),
        "candidates": list(typing.get_args(config.CandidateConfig)),
        "serving": [config.Serving],
        "diversity": [config.Diversity],
        "index": [config.Index],
        "training": [config.Training],
        "tune": [config.Tune],
        "server": [config.Server],
        "source": [config.Source],
        "expect": [config.Expectation],
        "cleaning": [config.Cleaning],
        "features": [config.Features],
        "feature": [config.FeatureConfig],
    }
    assert set(sections) == {f.name for f in msgspec.structs.fields(config.Config)}, "a section is missing here"
    return sorted({key for section, structs in sections.items() for struct in structs for key in keys(struct, f"{section}.")})


def below(error):
    return [error, *(e for child in error.__subclasses__() for e in below(child))]


CODES = sorted({e.code for e in below(errors.RecEngineError) if e.__module__ == "recengine.errors"})
METRICS = sorted({*ranking.METRICS, *beyond.__all__, *ratings.__all__, *calibration.__all__} - {"Bin", "reliability"})
OPTIONS = sorted({(name, o) for name, verb in commands().items() for o in verb._option_string_actions if o.startswith("--")})


ENDPOINTS = sorted(
    f"{method} {re.sub(r':[a-z]+}', '}', path)}" for handler in HANDLERS for path in handler.paths for method in handler.http_methods
)


def said(word):
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", CODE) is not None


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_is_documented(name):
    assert said(f"recengine {name}")


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=[f"{n}{o}" for n, o in OPTIONS])
def test_an_option_is_documented(name, option):
    assert option == "--help" or said(option)


@pytest.mark.parametrize("key", configuration())
def test_a_configuration_key_is_documented(key):
    assert said(key) or said(key.partition(".")[2])


@pytest.mark.parametrize("code", CODES)
def test_an_error_code_is_documented(code):
    assert said(code)


@pytest.mark.parametrize("kind", [error for error in below(errors.RecEngineError) if error.code in CODES], ids=lambda kind: kind.code)
def test_an_error_code_stands_with_the_status_that_it_is_answered_with(kind):
    status = next(STATUS[parent] for parent in kind.__mro__ if parent in STATUS)
    assert f"| `{kind.code}` | {status} |" in PAGES["docs/reference.md"]


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_documented(metric):
    assert said(metric)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_is_documented(endpoint):
    assert re.search(rf"{re.escape(endpoint)}(?![\w/{{-])", CODE)


@pytest.mark.parametrize("code", sorted({code for code, _, _ in PROBLEMS.values()}))
def test_a_problem_of_http_is_documented(code):
    assert said(code)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_the_server_is_documented(name):
    assert said(name)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The shop that a reader has who typed the Python blocks: in one process, from an empty folder."""
    folder = tmp_path_factory.mktemp("reader")
    blocks = [body for page, language, body in BLOCKS if page == "README.md" and language == "python" and SERVED not in body]
    assert blocks
    ran = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder / "shop"


@pytest.fixture(scope="module")
def served(shop):
    """That shop, served."""
    (shop / "recengine.toml").touch()
    with Served(shop) as server:
        yield server


def test_python_blocks_run_one_after_the_other(shop):
    assert (shop / "recengine.duckdb").exists()


def test_curl_lines_and_then_the_client_run_against_the_shop(served):
    lines = [line for page, line in typed() if line.startswith("curl ")]
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line.replace(SERVED, f"http://127.0.0.1:{served.port}"))
        status, body = curl(words) if shutil.which("curl") else asked(served, words)
        assert 200 <= status < 300, (line, status, body)
    blocks = [body for page, language, body in BLOCKS if page == "README.md" and language == "python" and SERVED in body]
    assert blocks
    code = "\n".join(blocks).replace(SERVED, f"http://127.0.0.1:{served.port}")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "stored=1" in ran.stdout


def curl(words):
    ran = subprocess.run([*words, "--silent", "--show-error", "--write-out", "\n%{http_code}"], capture_output=True, text=True, check=True)
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body


def asked(server, words):
    """What curl would ask, where there is none: `-X`, `-H`, `-d`, and `-G` with `--data-urlencode`."""
    given = {"-X": [], "-H": [], "-d": [], "--data-urlencode": []}
    url, rest = "", iter(words[1:])
    for word in rest:
        if word in given:
            given[word].append(next(rest))
        elif word != "-G":
            url = word
    target = urlsplit(url)
    pairs = [tuple(pair.split("=", 1)) for pair in given["--data-urlencode"] + (given["-d"] if "-G" in words else [])]
    query = "&".join([*([target.query] if target.query else []), *([urlencode(pairs)] if pairs else [])])
    body = json.loads(given["-d"][0]) if given["-d"] and "-G" not in words else None
    method = given["-X"][0] if given["-X"] else "GET" if body is None else "POST"
    head = f"{method} {target.path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        head += "".join(f"{line}\r\n" for line in given["-H"]) + f"Content-Length: {len(content)}\r\n"
    return server.say(head.encode() + b"\r\n" + content)


def typed():
    """The command lines of shell blocks, continued lines joined, comments and variables left out."""
    for page, language, body in BLOCKS:
        if language in {"sh", "bash", "console", "shell"}:
            lines = [line.strip().removeprefix("$ ") for line in body.replace("\\\n", " ").splitlines()]
            yield from ((page, line) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(("page", "line"), list(typed()), ids=[line[:50] for _, line in typed()])
def test_a_shell_line_can_be_typed(page, line):
    words = shlex.split(line, comments=True)
    for stop in ("|", ">", "&&"):
        words = words[: words.index(stop)] if stop in words else words
    if words[0] == "recengine":
        assert build().parse_args(words[1:]).run
    elif words[0] == "make":
        targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert set(words[1:]) <= {target for group in targets for target in group.split()}, line
    elif words[:2] == ["python", "-m"] and words[2].startswith("bench."):
        assert (ROOT / f"{words[2].replace('.', '/')}.py").exists(), line


def test_toml_blocks_are_configurations():
    for _, language, body in BLOCKS:
        if language == "toml":
            config.parse(body)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", PAGES[page]):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_a_word_that_is_left_out_is_seen():
    assert not said("recengine frobnicate")
    assert not said("--frobnicate")


def test_the_reference_shows_the_configuration_as_the_command_prints_it():
    assert config.commented() in PAGES["docs/reference.md"] + "\n"
