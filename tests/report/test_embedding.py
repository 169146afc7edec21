"""Nothing that evidence may say can break out of the script element it stands in."""

import json

import pytest

from skipnorm.report.embedding import json_text, slug

HOSTILE = ["</script>", "<!--<script>", "]]>", "a\u2028b\u2029c", "&lt;", 'quote " and \\']


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_safe_and_means_the_same(text: str) -> None:
    written = str(json_text({"text": text}))
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {"text": text}


def test_an_anchor_is_never_empty() -> None:
    assert slug("<>") == "x"
