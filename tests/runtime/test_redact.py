"""Secrets never reach a message, whatever library quotes them."""

from __future__ import annotations

import pytest

from factory.runtime.redact import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no bucket at s3://AKIAX:s3cr3t@bucket/a/b?region=x", "no bucket at s3://***@bucket/a/b?region=x"),
        ("GET https://h.co/f?X-Amz-Signature=abc123&x=1 failed", "GET https://h.co/f?X-Amz-Signature=***&x=1 failed"),
        ("https://h.co/f?x=1;api_key=abc;y=2", "https://h.co/f?x=1;api_key=***;y=2"),
        ("https://h.co/f?TOKEN=abc 'x'", "https://h.co/f?TOKEN=*** 'x'"),
        (
            "https://h.co/f?my-password=a&credential=b&secret=c",
            "https://h.co/f?my-password=***&credential=***&secret=***",
        ),
        ("Authorization: Bearer eyJhbGciOi.abc-_=", "Authorization: Bearer ***"),
        ("the bearer of a ring", "the bearer of a ring"),
        ("token hf_abcdefghijklmnopqrstuvwxyz was refused", "token *** was refused"),
        ("hf_short, hf_0123456789abcde", "hf_short, hf_0123456789abcde"),
        ("hf_0123456789abcdef", "***"),
        ("key AKIAABCDEFGHIJKLMNOP, ASIAABCDEFGHIJKLMNOP", "key ***, ***"),
        ("AKIAABCDEFGHIJKLMN", "AKIAABCDEFGHIJKLMN"),
        (f"ghp_{'a1' * 10}, gho_{'b2' * 12}", "***, ***"),
        ("mail to a@b.org about s3://bucket/k@v", "mail to a@b.org about s3://bucket/k@v"),
    ],
)
def test_credentials_are_hidden_and_the_rest_is_kept(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "X_API_KEY", "CREDENTIALS"])
def test_values_of_secret_variables_are_hidden(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "wJalrXUt")
    assert redact("the value wJalrXUt, wJalrXUtn") == "the value ***, ***n"


@pytest.mark.parametrize(
    ("name", "value"), [("HF_TOKEN_PATH", "/root/.cache/token"), ("CI_TOKEN", "7 chars"), ("USER_NAME", "maintainer")]
)
def test_other_values_are_kept(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"the value {value}") == f"the value {value}"


def test_a_secret_that_is_part_of_another_hides_no_less_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret-one")
    monkeypatch.setenv("B_TOKEN", "secret-one-and-more")
    assert redact("secret-one-and-more") == "***"
