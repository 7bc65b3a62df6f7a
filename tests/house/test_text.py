"""The tree speaks of itself alone: no path of one machine, no word of whoever wrote it; prose is plain ASCII."""

import re

from tests.house.source import kept
from tests.house.test_rules import plant

# Written apart, so that this file passes its own test.
PLACES = re.compile("/" + r"(?:work|root|home/\w+|Users/\w+|mnt|tmp/bash_jobs)/[\w.]")
WORKPLACE = re.compile(
    "|".join([r"\bclaude\b", "anthro" + "pic", r"chat" + r"gpt", r"\bopen" + r"ai\b", r"\blanguage " + r"model\b", r"co-" + r"authored-by", r"shared/se" + "aled", r"\bissue " + r"#?\d+\b", r"\bDEVELOPERS" + r"\b", r"\bCOMMON\.md\b"]),
    re.IGNORECASE,
)
TYPOGRAPHY = re.compile("[\u2010-\u2015\u2018-\u201f\u2026\u00a0]")
CHECKED = (".py", ".pyx", ".pxd", ".h", ".sql", ".toml", ".md", ".in", ".cfg", ".yml", ".yaml", "")


def found(pattern, root=None):
    files = kept(suffixes=CHECKED) if root is None else kept(root, CHECKED)
    for where, text in files:
        if where in {"tests/house/test_text.py", "LICENSE"}:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{where}:{number}: {line.strip()[:100]}"


def test_no_path_of_one_machine():
    assert list(found(PLACES)) == []


def test_no_word_of_the_workplace():
    assert list(found(WORKPLACE)) == []


def test_punctuation_is_ascii():
    assert list(found(TYPOGRAPHY)) == []


def test_planted_words_are_seen(tmp_path):
    plant(tmp_path, {"a.py": "x = '/" + "work/data'", "b.md": "see issue " + "12", "c.py": "# a \u2014 b", "d.py": "x = '/tmp/shop'"})
    assert [line[:4] for line in found(PLACES, tmp_path)] == ["a.py"]
    assert [line[:4] for line in found(WORKPLACE, tmp_path)] == ["b.md"]
    assert [line[:4] for line in found(TYPOGRAPHY, tmp_path)] == ["c.py"]
