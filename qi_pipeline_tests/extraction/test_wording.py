"""English for instructions: sentences that stand alone, and what they say a thing is for."""

import pytest

from qi_pipeline.extraction.wording import (
    cleaned,
    humanized,
    read_purpose,
    sentences,
    series,
    uncapitalized,
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loadUserById", "load user by id"),
        ("MAX_SIZE", "max size"),
        ("parse2Numbers", "parse2 numbers"),
        ("createCLIFast", "create cli fast"),
        ("cache-example", "cache example"),
    ],
)
def test_identifiers_become_words(name: str, words: str) -> None:
    assert humanized(name) == words


@pytest.mark.parametrize(
    ("paragraph", "found"),
    [
        ("One. Two!  Three?", ["One", "Two", "Three?"]),
        ("Reads a file, e.g. a text. Then stops.", ["Reads a file, e.g. a text", "Then stops"]),
        ("Redis-backed cache\nUses native TTL", ["Redis-backed cache", "Uses native TTL"]),
        ("Create Result from\nEither-like type", ["Create Result from Either-like type"]),
        ("one\ntwo", ["one two"]),
        ("v1.2 of it. `code` next.", ["v1.2 of it", "`code` next"]),
        ("", []),
        (" . ", []),
    ],
)
def test_paragraphs_are_cut_into_sentences(paragraph: str, found: list[str]) -> None:
    assert sentences(paragraph) == found


@pytest.mark.parametrize(
    ("sentence", "clean"),
    [
        ("CLEAN: Functional composition (the new way)", "Functional composition"),
        ("Example 3: Load it all", "Load it all"),
        ("2. Load it all", "Load it all"),
        ("v-0.6.1 Pure architecture", "Pure architecture"),
        ("This example demonstrates retries", "demonstrates retries"),
        ("Load from file (using yaml package)", "Load from file (using yaml package)"),
        ("Let's build a service", None),
        ("As shown above, it is loaded", None),
        ("We load it all", None),
        ("Load (it all", None),
        ("Load `it all", None),
        ("`f(a) == b` for all of them", None),
        ("Load", None),
        ("`load(a, b, c)` x", None),
        ("Load it " + "all and " * 40, None),
    ],
)
def test_a_sentence_that_cannot_stand_alone_is_left_out(sentence: str, clean: str | None) -> None:
    assert cleaned(sentence) == clean


@pytest.mark.parametrize(
    ("sentence", "name", "form", "text"),
    [
        ("Create a cache", "createCache", "imperative", "create a cache"),
        ("Creates a cache", "createCache", "third_person", "creates a cache"),
        ("Gathers all settings", "settings", "third_person", "gathers all settings"),
        ("Safely extracts the value", "getValue", "third_person", "safely extracts the value"),
        ("Log levels of a service", "levels", "noun", "log levels of a service"),
        ("Logs the beginning", "note", "third_person", "logs the beginning"),
        ("Error Context and Logging", "f", "noun", "error context and logging"),
        ("JSON of a result", "f", "noun", "JSON of a result"),
        ("QiError with a code", "f", "noun", "QiError with a code"),
        (None, "fetchUser", "imperative", "fetch a user"),
        (None, "createOrderError", "imperative", "create an order error"),
        (None, "fetchUsers", "imperative", "fetch users"),
        (None, "getUserWithProfile", "imperative", "get a user with profile"),
        (None, "isValidOrder", "third_person", 'answers the question "is valid order?"'),
        (None, "toText", "imperative", "convert its input to text"),
    ],
)
def test_a_function_is_for_what_its_comment_or_name_says(
    sentence: str | None, name: str, form: str, text: str
) -> None:
    purpose = read_purpose(sentence, name, acts=True)
    assert purpose is not None
    assert (purpose.form, purpose.text) == (form, text)


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Order factory implementation", "OrderFactory"),
        (None, "load"),
        (None, "orderTotal"),
        (None, "readAt"),
        (None, "getUserExample"),
    ],
)
def test_what_says_nothing_is_no_purpose(sentence: str | None, name: str) -> None:
    assert read_purpose(sentence, name, acts=sentence is None) is None


@pytest.mark.parametrize(
    ("sentence", "name", "whole"),
    [
        ("Create a cache", "x", "Write it to create a cache."),
        ("Creates a cache", "x", "Write it. It creates a cache."),
        ("A cache for all", "x", "Write it: a cache for all."),
    ],
)
def test_a_purpose_fits_into_a_request(sentence: str, name: str, whole: str) -> None:
    purpose = read_purpose(sentence, name, acts=True)
    assert purpose is not None
    assert purpose.after("Write it") == whole


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("Load it", "load it"),
        ("Cache-Aside Pattern", "cache-aside pattern"),
        ("Result<T> of it", "Result<T> of it"),
        ("`load` it", "`load` it"),
        ("A Cache of it", "a Cache of it"),
        ("", ""),
    ],
)
def test_text_inside_a_sentence_starts_in_lower_case(text: str, inside: str) -> None:
    assert uncapitalized(text) == inside


def test_series_are_joined_as_in_a_sentence() -> None:
    assert [series(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
