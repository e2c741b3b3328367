"""English for instructions: what a name, a doc comment or a heading says a thing is for.

Flows in: names and human text as it stands in sources and documents. Flows out: clean sentences and
`Purpose`s, each of which knows how it fits into a request. Nothing here knows syntax trees or any
library.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Form = Literal["imperative", "third_person", "noun"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAX_CHARACTERS: Final = 240
"""A longer sentence is left out as a whole: a cut one would ask for half a thing."""

# Verbs that names and doc comments of programs open with.
_VERBS: Final = _words(
    """
    accept acquire add aggregate allow append apply ask assemble assert assign attach
    authenticate authorize await bind block bring build calculate call cancel capture catch
    chain change charge check choose clamp clean clear close collect combine compare compile
    complete compose compress compute configure connect consume convert copy count create
    decide decode decorate decrease deduplicate define delay delete deliver demonstrate deny
    derive describe destroy detect determine disable disconnect dispatch display divide do drop
    emit enable encode end enforce enqueue enrich ensure enter escape estimate evaluate execute
    expect explain export expose extend extract fail fall fetch fill filter find finish flatten
    flush fold follow force forget format forward gather generate get give group guard handle
    help hide identify ignore implement import increase increment index initialize insert
    inspect install invalidate invoke join keep leave let limit list listen load locate lock
    log look lookup make manage map mark match measure merge migrate modify monitor move
    multiply name narrow normalize notify observe obtain offer open order override pad parse
    pass pause perform persist pick place poll pop prefer prepare prevent print process produce
    promote protect prove provide publish pull push put query queue quote raise rank read
    rebuild receive record recover reduce refresh refuse register reject release reload remove
    rename render repeat replace replay report represent request require rescue reserve reset
    resolve respond restart restore resume retrieve retry return reveal reverse revoke roll
    rotate round route run sanitize save say scale schedule score search select send separate
    sequence serialize serve set share ship shorten show shut sign simulate skip sleep sort
    split square start state stop store stream subscribe subtract sum summarize supply support
    swap switch take tap tell terminate test throttle throw time touch trace track transfer
    transform translate traverse treat trigger trim truncate try turn unlock unpack unregister
    unsubscribe unwrap update upgrade upload upsert use validate verify visit wait walk warm
    warn watch weigh wrap write yield zip
    """
)
# Verbs that are as often nouns: one of them opens a clause only before a word that says so, or
# where the name agrees.
_NOUNS_TOO: Final = _words(
    """
    block cache call chain change charge check clean clear close complete count delay display
    end export filter force group guard help import index limit list lock log map mark match
    measure name narrow open order pause place process queue quote rank record report request
    reset retry return roll round route run scale schedule score search separate set share show
    sign sort square start state stop store stream sum support switch test time trace track
    transfer turn wait warm watch wrap
    """
)
# Verbs that open the name of a thing more often than that of an action: `orderTotal`.
_NOUNS_IN_NAMES: Final = _words(
    """
    block cache change charge count delay display end group guard index limit list map name
    order place queue quote rank record request result round route scale schedule score share
    sign square start state store stream sum test time trace turn watch
    """
)
_DETERMINERS: Final = _words(
    """
    a all an and another any as at both by each every everything from how if in into its
    multiple no one only or several some that the their them this through to two until what
    when whether which while with without
    """
)
_AFTER_NOUNS: Final = _words(
    """
    are for in is of on per that which with
    """
)
_AFTER_NOUNS_ONLY: Final = frozenset({"are", "of"})
_FUNCTION_WORDS: Final = _words(
    """
    & + - a an and as at between by for from in into of on or over per than the through to
    under using via with without
    """
)
_QUESTIONS: Final = frozenset({"are", "can", "does", "has", "is", "needs", "should", "was"})
_WITHOUT_ARTICLE: Final = _words(
    """
    access data info information json output text yaml
    """
)
_PLACEHOLDERS: Final = _words(
    """
    a an and class constant factory for function helper implementation method module of the
    """
)
# What only makes sense where it stands.
_BOUND: Final = re.compile(
    r"\b(?:above|below|here|tutorial|chapter|as shown|see also|remember|note that|todo|fixme|"
    r"this (?:section|page|guide|document|example|notebook|file|demo|snippet|cell|block)|"
    r"we|we'll|we've|our|us|let's|lets|you'll|you've)\b",
    re.IGNORECASE,
)
_SELF_REFERENCE: Final = re.compile(
    r"^(?:this|the following) (?:\w+ ){0,2}?(?:example|demo|function|class|method|module|test|file|"
    r"helper|utility|snippet|code|section)\s+(?=\w+s\b)",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(
    r"^(?:(?:Example|Demo|Step|Pattern|Case|Part|Section|Problem|Solution|Before|After|Tool|"
    r"Framework|Usage|Test)(?: ?#?\d+)?\s*[:.]\s+|[A-Z][A-Z _-]+:\s+|\(?\d+[.)]\s+|v-?\d[\w.]*\s+)"
)
_ASIDE: Final = re.compile(
    r"\s*\((?:the )?(?:new|old|better|clean|cleaner|right|wrong|recommended|legacy|simulated?)\b"
    r"[^()]*\)"
)
_SENTENCE_END: Final = re.compile(
    r"(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?<=[.!?])\s+(?=\W*[A-Z`\d]|$)"
)


@dataclass(frozen=True)
class Purpose:
    """What a thing is for: one clause without a full stop that starts in lower case."""

    text: str
    form: Form

    def after(self, request: str) -> str:
        """Return `request` (`Write X with Y`) followed by the purpose, as whole sentences."""
        if self.form == "imperative":
            return f"{request} to {self.text}."
        if self.form == "third_person":
            return f"{request}. It {self.text}."
        return f"{request}: {self.text}."


def humanized(name: str) -> str:
    """Return an identifier as words: `loadUserById` becomes `load user by id`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    words = re.sub(r"([A-Z])([A-Z][a-z])", r"\1 \2", words)
    return " ".join(words.replace("_", " ").replace("-", " ").lower().split())


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph without their full stops.

    A line that starts a new sentence without a full stop before it counts as one too.
    """
    text = ""
    for line in paragraph.split("\n"):
        stripped = line.strip()
        words = text.split()
        opens = bool(words) and stripped[:1].isupper() and stripped[1:2].islower()
        if opens and text[-1] not in ".!?:,;" and words[-1].lower() not in _FUNCTION_WORDS:
            text += "."
        text += f" {stripped}"
    found = _SENTENCE_END.split(re.sub(r"\s+", " ", text).strip())
    return [sentence.rstrip(" .:!") for sentence in found if sentence.strip(" .:!")]


def cleaned(sentence: str) -> str | None:
    """Return a sentence without labels, numbering and asides, or None when it cannot stand alone.

    A sentence cannot stand alone when it points elsewhere in its document, is mostly code, is
    longer than 240 characters, or holds a bracket or backtick that it does not close.
    """
    text = sentence.strip()
    while (shorter := _LABEL.sub("", text)) != text:
        text = shorter
    text = _SELF_REFERENCE.sub("", _ASIDE.sub("", text)).strip(" .:-")
    prose = re.sub(r"`[^`]*`", "", text)
    if len(text) > _MAX_CHARACTERS or len(re.findall(r"[^\W\d_]{2,}", text)) < 2:  # noqa: PLR2004
        return None
    # An equation or a lambda says how, not what.
    if re.search(r"`[^`]*(?:==|=>|;)[^`]*`", text):
        return None
    if _BOUND.search(prose) or not _is_balanced(text) or len(prose.split()) * 2 < len(text.split()):
        return None
    return text


def _is_balanced(text: str) -> bool:
    brackets = all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))
    return brackets and text.count("`") % 2 == 0 and text.count('"') % 2 == 0


def read_purpose(sentence: str | None, name: str, *, acts: bool = False) -> Purpose | None:
    """Return the purpose that a doc comment's sentence states, or else the one in the name.

    `acts` says that it is the purpose of a function: what opens like a verb then is one.
    """
    clean = cleaned(sentence) if sentence is not None else None
    if clean is not None and not _says_no_more_than(clean, name):
        verb = humanized(name).split(" ")[0]
        return Purpose(uncapitalized(clean), _form(clean, verb, acts=acts))
    return _purpose_of_name(name) if acts else None


def _says_no_more_than(text: str, name: str) -> bool:
    """Tell whether a text only repeats the name: `Order factory implementation`."""
    said = set(re.findall(r"\w+", humanized(re.sub(r"\W", " ", text))))
    return said <= set(humanized(name).split()) | _PLACEHOLDERS


def _form(text: str, verb: str, *, acts: bool) -> Form:
    """Return the grammatical form of a text; `verb` is what the name of the thing opens with."""
    words = [word for word in re.findall(r"[\w'`&-]+", text.lower()) if not word.endswith("ly")]
    first, second = [*words, "", ""][:2]
    determined = second in _DETERMINERS
    if first in _VERBS and (first not in _NOUNS_TOO or determined or first == verb):
        return "imperative"
    stem = _stem(first)
    if acts and re.fullmatch(r"[a-z]+[^aius\W]s", first):
        return "noun" if second in _AFTER_NOUNS_ONLY else "third_person"
    if stem is None or (stem in _NOUNS_TOO and not determined):
        return "noun"
    return "noun" if second in _AFTER_NOUNS else "third_person"


def _stem(word: str) -> str | None:
    """Return the verb of which `word` is the third person, or None."""
    candidates = [word[:-1]] if word.endswith("s") else []
    if word.endswith("ies"):
        candidates.append(f"{word[:-3]}y")
    elif word.endswith("es"):
        candidates.append(word[:-2])
    return next((stem for stem in candidates if stem in _VERBS), None)


def _purpose_of_name(name: str) -> Purpose | None:
    """Return what the name of a function says that it does; None when it names a thing."""
    words = humanized(name).split()
    # What is called an example says of what in the text around it.
    if len(words) < 2 or words[-1] in _FUNCTION_WORDS | {"example"}:  # noqa: PLR2004
        return None
    if words[0] in _QUESTIONS:
        return Purpose(f'answers the question "{" ".join(words)}?"', "third_person")
    if words[0] == "to":
        return Purpose(f"convert its input {' '.join(words)}", "imperative")
    if words[0] == "demonstrate":
        return Purpose(" ".join(words), "imperative")
    if words[0] in _VERBS and words[0] not in _NOUNS_IN_NAMES:
        return Purpose(f"{words[0]} {_with_article(words[1:])}", "imperative")
    return None


def _with_article(words: list[str]) -> str:
    """Return a noun phrase with `a` or `an` where it is one thing: `an order error`."""
    phrase = " ".join(words)
    head = next(
        (words[i - 1] for i, w in enumerate(words) if i and w in _FUNCTION_WORDS), words[-1]
    )
    plain = words[0] in _DETERMINERS | _FUNCTION_WORDS | _VERBS - _NOUNS_TOO
    if plain or head in _WITHOUT_ARTICLE or re.search(r"(?:[^s]s|ing|ed|ly)$", head):
        return phrase
    return f"{'an' if phrase[0] in 'aeio' else 'a'} {phrase}"


def uncapitalized(text: str) -> str:
    """Return a text as it stands inside a sentence.

    Its first word starts in lower case unless it is a name or an acronym; so does every word of a
    title, in which all words are capitalized.
    """
    own = [word for word in text.split() if word.lower() not in _FUNCTION_WORDS]
    if len(own) > 1 and all(word[0].isupper() for word in own):
        return lowered(text)
    if text.startswith("A "):
        return f"a{text[1:]}"
    first = re.match(r"[A-Za-z]+(?![\w`<(.])", text)
    return text if first is None else lowered(first[0]) + text[first.end() :]


def lowered(title: str) -> str:
    """Return a title in lower case, but for names and acronyms: `QiError`, `JSON`, `Result<T>`."""
    return re.sub(r"(?<![\w`<@/.])[A-Z][a-z]+(?![\w`<(])", lambda word: word[0].lower(), title)


def capitalized(text: str) -> str:
    """Return a text that starts in upper case, unless it starts with code."""
    return text[:1].upper() + text[1:]


def series(items: list[str] | tuple[str, ...]) -> str:
    """Join as in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""
