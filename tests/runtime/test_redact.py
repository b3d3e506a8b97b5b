"""Secrets never reach a message, whatever library quotes them."""

from __future__ import annotations

import pytest

from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import StoreError


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("no bucket at s3://AKIAX:s3cr3t@bucket/a/b?region=x", "no bucket at s3://***@bucket/a/b?region=x"),
        ("GET https://h.co/f?X-Amz-Signature=abc123&x=1 failed", "GET https://h.co/f?X-Amz-Signature=***&x=1 failed"),
        ("Authorization: Bearer eyJhbGciOi.abc-_=", "Authorization: Bearer ***"),
        ("token hf_abcdefghijklmnopqrstuvwxyz was refused", "token *** was refused"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("mail to a@b.org about s3://bucket/k@v", "mail to a@b.org about s3://bucket/k@v"),
    ],
)
def test_credentials_are_hidden_and_the_rest_is_kept(told: str, kept: str) -> None:
    assert redact(told) == kept


def test_values_of_secret_variables_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "my-own-hub-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7")
    monkeypatch.setenv("HF_TOKEN_PATH", "/root/.cache/token")
    monkeypatch.setenv("CI_TOKEN", "true")
    assert (
        redact("my-own-hub-token, wJalrXUtnFEMI/K7, /root/.cache/token, true") == "***, ***, /root/.cache/token, true"
    )


def test_errors_about_a_dataset_do_not_name_the_credentials_of_its_uri() -> None:
    dataset = DatasetDir("s3://AKIAX:s3cr3t@bucket/units?endpoint_override=127.0.0.1:1&region=us-east-1")
    assert dataset.path == "bucket/units"
    assert "s3cr3t" not in f"{dataset}{StoreError(f'{dataset.uri} is not finished')}"
