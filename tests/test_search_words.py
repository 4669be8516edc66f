"""What a search for words finds, said without a database."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from timeit import repeat
from unicodedata import normalize

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskward.tasks.search import Query, SearchError, Term, fold, matches, parse_query, searchable
from tests.costs import allowed
from tests.sizes import sized

EXAMPLES = sized(50, 5_000)
FAMILY = "👨‍👩‍👧"
DIGIT_ONE_KEYCAP = "1\ufe0f\u20e3"

PLAIN = [
    ("Buy milk", "The one with the blue cap", "milk", True),
    ("Buy milk", "The one with the blue cap", "MILK cap", True),
    ("Buy milk", "The one with the blue cap", "cap milk", True),
    ("Buy milk", "The one with the blue cap", "milk bread", False),
    ("Buy milk", None, "milk", True),
    ("Buy milk", None, "ilk", False),
    ("Buy 2 milk", None, "2 milk", True),
    ("Call 555-0199", None, "0199", True),
    ("Buy milk", "bread", "milk bread", True),
    ("Buy milk", "", "", True),
    ("", None, "milk", False),
    ("", None, "-milk", True),
]
LAST_WORD = [
    ("Buy milkshake", None, "milk", True),
    ("Buy milkshake", None, "milk ", True),
    ("Buy milkshake", None, "milk buy", False),
    ("Buy milkshake", None, "buy mi", True),
    ("Buy milkshake", None, '"milk"', False),
    ("Buy milkshake", None, '"milk', False),
    ("Buy milkshake", None, 'milk "', True),
    ("Buy milkshake", None, "milk -", True),
    ("Buy milkshake", None, "-milk", True),
    ("Buy milkshake", None, "-milkshake", False),
    ("See the foo-barista", None, "foo-bar", True),
    ("See the foo-barista", None, "foo-bar see", False),
]
PHRASES = [
    ("Buy milk", "The blue cap", '"blue cap"', True),
    ("Buy milk", "The blue cap", '"cap blue"', False),
    ("Buy milk", "The blue cap", '"the cap"', False),
    ("Buy milk", "The blue cap", '"milk the"', False),
    ("Buy milk", "The blue\n\ncap", '"blue cap"', True),
    ("Buy milk", "The (blue) cap", '"blue, cap!"', True),
    ("Buy milk", "The blue cap", "“blue cap”", True),
    ("Buy milk", "The blue cap", "„cap blue“", False),
    ("Buy milk", "The blue cap", "«blue cap»", True),
    ("Buy milk", "The blue cap", '"blue cap"milk', True),
    ("Buy milk", "The blue cap", 'milk"the blue"', False),
    ("Buy milk", "The blue cap", 'milk "the blue"', True),
    ("Buy milk", "The blue cap", '"blue capital"', False),
    ("Buy milk", "The blue cap", '"blue ca"', False),
    ("Buy milk", "The blue cap", '"the blue', True),
]
EXCLUSION = [
    ("Buy milk", "blue cap", "milk -bread", True),
    ("Buy milk", "blue cap", "milk -cap", False),
    ("Buy milk", "blue cap", "-cap", False),
    ("Buy milk", "blue cap", "-bread", True),
    ("Buy milk", "blue cap", '-"blue cap"', False),
    ("Buy milk", "blue cap", '-"cap blue"', True),
    ("Buy milk", "blue cap", "－milk", False),
    ("Buy milk", "blue cap", "milk - cap", True),
    ("Buy milk", "blue cap", "milk-cap", False),
    ("Run git push --force", None, "--force", True),
    ("Run git push --force", None, "push -force", False),
    ("Run git push --force", None, "-foo-bar", True),
    ("Meet foo-bar", None, "-foo-bar", False),
    ("Meet a category", None, "meet -cat", True),
]
OR = [
    ("Buy milk", None, "milk or bread", True),
    ("Buy bread", None, "milk OR bread", True),
    ("Buy eggs", None, "milk Or bread", False),
    ("Buy milk", None, "buy bread or milk", True),
    ("Buy bread", None, "buy milk or bread sell", False),
    ("Buy bread", None, "milk or buy bread", True),
    ("Buy bread", None, "sell bread or buy bread", True),
    ("Buy bread", None, "milk or -eggs", True),
    ("Now or never", None, '"or never"', True),
    ("Now or never", None, '"or"', True),
    ("Now", None, "never -or", False),
    ("Now or never", None, "now -or", False),
    ("Never", None, "now -or never", False),
]
OR_AS_A_WORD = [
    ("Buy gold", None, "or", False),
    ("Acheter de l'or", None, "or", True),
    ("Peel an orange", None, "peel or", True),
    ("Now or never", None, "or never", True),
    ("Never", None, "or never", False),
    ("Now", None, "now or", False),
    ("Now", None, 'now or "" -', False),
    ("Now", None, "now or or never", True),
    ("Never", None, "now or or never", False),
    ("or", None, "or or or", True),
]
PUNCTUATION = [
    ("Don't panic", None, "don't", True),
    ("Don't panic", None, "don’t", True),
    ("Don’t panic", None, "don't panic", True),
    ("Don’t panic", None, '"don\'t panic"', True),
    ("John's birthday", None, "john birthday", True),
    ("Aller à l’école", None, "ecole", True),
    ("Aller à l’école", None, "l'école", True),
    ("Купити м'яту", None, "мʼяту", True),
    ("A well-known bug", None, "known", True),
    ("A well-known bug", None, "well-known", True),
    ("A well-known bug", None, '"well known"', True),
    ("A well\N{NON-BREAKING HYPHEN}known bug", None, "well-known bug", True),
    ("A well known bug", None, "well-known", True),
    ("A known well", None, "well-known", False),
    ("A soft\N{SOFT HYPHEN}ware", None, "software", True),
    ("snake_case", None, "case", True),
    ("Mail ann@example.com", None, "example", True),
    ("Mail ann@example.com", None, "ann@example.com", True),
    ("Mail ann@example.com", None, "example@ann", False),
    ("See https://example.com/a/b", None, "example.com/a", True),
    ("Version 1.2", None, "1.2", True),
    ("Renew Windows™ licence", None, "windows licence", True),
    ("100% done", None, "100%", True),
    ("100% done", None, "1%0", False),
    ("snake case", None, "s_ake", False),
    ('A 5" pipe', None, '5" pipe', True),
]
LATIN = [
    ("Café", None, "cafe", True),
    ("cafe", None, "CAFÉ", True),
    ("cafe\N{COMBINING ACUTE ACCENT}", None, "café", True),
    ("Café", None, "cafe\N{COMBINING ACUTE ACCENT}", True),
    ("Straße", None, "STRASSE", True),
    ("STRASSE", None, "straße", True),
    ("STRAẞE", None, "strasse", True),
    ("İstanbul", None, "istanbul", True),
    ("Istanbul", None, "İSTANBUL", True),
    ("ISPARTA", None, "ısparta", True),
    ("Łódź", None, "lodz", True),
    ("Lodz", None, "ŁÓDŹ", True),
    ("Smørrebrød", None, "smorrebrod", True),
    ("Tiếng Việt", None, "tieng viet", True),
    ("Đường", None, "duong", True),
    ("Ærø", None, "aero", True),
    ("Œuvre", None, "oeuvre", True),
    ("Þór og Guðrún", None, "thor gudrun", True),
    ("ﬁle", None, "file", True),
    ("ＦＵＬＬ　ｗｉｄｔｈ", None, "full width", True),
    ("10 m²", None, "m2", True),
    ("El niño", None, "nino", True),
]
GREEK_AND_CYRILLIC = [
    ("Οδός", None, "ΟΔΟΣ", True),
    ("ΟΔΟΣ", None, "οδος", True),
    ("Ὀδυσσεύς", None, "οδυσσευς", True),
    ("Ёлка", None, "елка", True),
    ("Новый год", None, "новый", True),
    ("Новый год", None, "НОВЫИ\N{COMBINING BREVE} год", True),
    ("Новый год", None, "новыи год", True),
    ("Їжак", None, "їжак", True),
]
ARABIC_AND_HEBREW = [
    ("كِتَابٌ", None, "كتاب", True),
    ("كتاب", None, "كِتَابٌ", True),
    ("كتـــاب", None, "كتاب", True),
    ("أحمد", None, "احمد", True),
    ("كتاب جديد", None, "\N{RIGHT-TO-LEFT MARK}جديد\N{LEFT-TO-RIGHT MARK}", True),
    ("کتاب", None, "كتاب", True),
    ("می\N{ZERO WIDTH NON-JOINER}روم", None, "میروم", True),
    ("left\N{RIGHT-TO-LEFT EMBEDDING}right", None, "leftright", True),
    ("كِتَابٌ", None, "كتب", False),
    ("שָׁלוֹם", None, "שלום", True),
    ("שלום", None, "שָׁלוֹם", True),
    ('צה"ל בחדשות', None, 'צה"ל', True),
    ("צה״ל בחדשות", None, 'צה"ל בחדשות', True),
]
INDIC = [
    ("दूध खरीदना है", None, "दूध", True),
    ("दूध खरीदना है", None, "दूध है", True),
    ("दूध खरीदना है", None, "खरीद", True),
    ("दूध खरीदना है", None, '"दध"', False),
    ("दूध खरीदना है", None, "दध", False),
    ("दूध खरीदना है", None, "ध", False),
    ("\u0958लम", None, "\u0915\u093cलम", True),
    ("பால் வாங்கு", None, "பால் வாங்கு", True),
]
WITHOUT_SPACES = [
    ("ไปซื้อนมที่ร้าน", None, "นม", True),
    ("ไปซื้อนมที่ร้าน", None, "น้ำ", False),
    ("ດື່ມນ້ຳ", None, "ນ້ຳ", True),
    ("ទិញទឹកដោះគោ", None, "ទឹក", True),
    ("နို့ဝယ်ရန်", None, "ဝယ်", True),
    ("去商店买手机", None, "手机", True),
    ("去商店买手机", None, "手机 商店", True),
    ("去商店买手机", None, "机手", False),
    ("去商店买手机", None, "-手机", False),
    ("去商店买手机", None, "电脑 or 手机", True),
    ("去商店，买手机", None, '"商店买"', False),
    ("去商店，买手机", None, "商店，买", True),
    ("東京タワーに行く", None, "タワー", True),
    ("ガス", None, "カ", False),
    ("ガス", None, "ガ", True),
    ("カ\N{COMBINING KATAKANA-HIRAGANA VOICED SOUND MARK}ス", None, "ガ", True),
    ("ｶﾞｽ", None, "ガス", True),
    ("はは", None, "ばば", False),
    ("人々と佐々木", None, "佐々木", True),
    ("葛\U000e0100城市", None, "葛城", True),
    ("買iPhone手机", None, "iphone", True),
    ("買iPhone手机", None, "手机", True),
    ("買iPhone手机", None, "iPhone手机", True),
    ("買iPhone手机", None, "iphone 手", True),
    ("買iPhone手机", None, "phone手机", False),
    ("2024年3月", None, "2024年", True),
    ("2024年13月", None, "年3月", False),
]
KOREAN = [
    ("우유 사기", None, "우유", True),
    ("우유 사기", None, normalize("NFD", "우유"), True),
    (normalize("NFD", "우유 사기"), None, "사기", True),
    ("안녕하세요 세계", None, "안녕", True),
    ("안녕하세요 세계", None, "안녕 세계", False),
    ("안녕하세요 세계", None, "하세요", False),
    ("각", None, "가", False),
]
EMOJI = [
    ("Party 🎉", None, "🎉", True),
    ("Party🎉tonight", None, "party 🎉 tonight", True),
    ("Party", None, "🎉", False),
    ("🎉🎉", None, "🎉", True),
    (FAMILY, None, FAMILY, True),
    (FAMILY, None, "👩", True),
    ("👩", None, FAMILY, False),
    ("👍🏽", None, "👍", True),
    ("👍", None, "👍🏽", True),
    ("👍🏽 ok", None, "👍🏿 ok", True),
    ("❤\ufe0f", None, "❤", True),
    ("❤", None, "❤\ufe0f", True),
    ("🇩🇪🇫🇷", None, "🇫🇷", True),
    ("🇩🇪🇫🇷", None, "🇩🇪", True),
    ("🇩🇪🇫🇷", None, "🇪🇫", False),
    ("Step " + DIGIT_ONE_KEYCAP + "go", None, "step 1 go", True),
    ("🏴\U000e0067\U000e0062\U000e007f", None, "🏴", True),
    ("Party 🎉", None, "-🎉", False),
    ("\U0001faff\U0001fafe", None, "\U0001fafe", True),
    ("Party", None, "\U0001fafe", False),
]
SIGNS: Sequence[tuple[str, str | None, str, bool]] = [
    ("Learn C++", None, "c++", True),
    ("Learn C++ and more", None, "c++ more", True),
    ("Learn C", None, "c++", False),
    ("Learn C", None, "c#", False),
    ("Learn C#", None, "c#", True),
    ("Learn C#", None, "c++", False),
    ("Learn C++", None, "c#", False),
    ("Learn C++", None, "c", True),
    ("Learn C++", None, "c learn", True),
    ("Learn C++17", None, "c++", True),
    ("Learn C++17", None, "c++17", True),
    ("Learn C++", None, "c+", True),
    ("Learn C++", None, "-c++", False),
    ("Learn C", None, "-c++", True),
    ("Learn C++ now", None, '"c++ now"', True),
    ("Learn C now", None, '"c++ now"', False),
    ("Schön C＋＋", None, "c++", True),
    ("F# für Ängstliche", None, "f# angst", True),
    ("milk+eggs", None, "eggs milk", True),
    ("milk + eggs", None, '"milk eggs"', True),
    ("#shopping", None, "shopping", True),
    ("shopping", None, "#shopping", True),
    ("shopping", None, "+shopping", True),
]
TABLES: Mapping[str, Sequence[tuple[str, str | None, str, bool]]] = {
    "plain": PLAIN,
    "last word": LAST_WORD,
    "phrases": PHRASES,
    "exclusion": EXCLUSION,
    "or": OR,
    "or as a word": OR_AS_A_WORD,
    "punctuation": PUNCTUATION,
    "latin": LATIN,
    "greek and cyrillic": GREEK_AND_CYRILLIC,
    "arabic and hebrew": ARABIC_AND_HEBREW,
    "indic": INDIC,
    "without spaces": WITHOUT_SPACES,
    "korean": KOREAN,
    "emoji": EMOJI,
    "signs": SIGNS,
}
CASES = [pytest.param(*case, id=f"{table} {n}") for table, cases in TABLES.items() for n, case in enumerate(cases)]


@pytest.mark.parametrize(("title", "description", "query", "found"), CASES)
def test_what_is_found(title: str, description: str | None, query: str, *, found: bool):
    assert matches(parse_query(query), searchable(title, description)) is found


def test_the_form_that_is_searched():
    assert searchable("Buy milk", None, "The blue-cap!") == " buy milk \n the blue cap "
    assert searchable("iPhone手机", "🎉!") == " iphone 手机 \n 🎉 "
    assert searchable("…", None, "", "milk") == " milk "
    assert searchable(None, "") == ""


def test_the_patterns_of_a_query():
    assert parse_query('Milk "blue cap" -bread or café-au') == (
        (Term(" milk ", negated=False), Term(" blue cap ", negated=False), Term(" bread ", negated=True)),
        (Term(" cafe au", negated=False),),
    )
    assert parse_query("手机iPhone机 x") == ((Term("手机 iphone 机", negated=False), Term(" x", negated=False)),)


HOSTILE = ['"', "-", "--", '-"', '""', '-""', "%", "_", "\\", "\0", "\n", "\u200f\u202e", "\u0301", '"' * 500]


@pytest.mark.parametrize("noise", HOSTILE, ids=ascii)
def test_a_query_without_a_word_restricts_nothing(noise: str):
    assert parse_query(noise) == ()
    assert parse_query(f"{noise} {noise}") == ()
    assert matches((), "")


@pytest.mark.parametrize("noise", ["%", "\\", "\0", "\u200f", "-- ", '" '], ids=ascii)
def test_noise_before_a_word_leaves_the_word(noise: str):
    query = parse_query(f"{noise}milk")
    assert matches(query, searchable("Buy milk"))
    assert not matches(query, searchable("Buy bread"))


def test_more_words_than_a_search_should_cost_are_refused():
    words = [f"word{n}" for n in range(33)]
    assert sum(map(len, parse_query(" ".join(words[:32])))) == 32
    assert sum(map(len, parse_query(" or ".join(words[:32])))) == 32
    for query in (" ".join(words), " or ".join(words), " -".join(words)):
        with pytest.raises(SearchError, match=r"^This may have at most 32 words\.$"):
            parse_query(query)


def test_a_repeated_word_counts_once():
    assert parse_query("milk Milk mílk bread") == ((Term(" milk ", negated=False), Term(" bread", negated=False)),)
    assert parse_query('"a" or "a" or b') == ((Term(" a ", negated=False),), (Term(" b", negated=False),))
    assert sum(map(len, parse_query("milk " * 1000))) == 2


def test_folding_any_character_twice_or_in_another_case_changes_nothing():
    characters = [chr(code) for code in range(0, sys.maxunicode + 1, sized(11, 1)) if not 0xD800 <= code < 0xE000]
    folded = fold("a".join(characters))
    assert fold(folded) == folded
    assert "\0" not in folded
    assert fold("a\0B") == "a b"
    assert [one for one in characters if not fold(one) == fold(one.swapcase()) == fold(one.upper())] == []


ALPHABET = st.one_of(
    st.sampled_from(
        "aAbBoOrR0 -\"'\n_%\\.éßİıłøđæœσςΣйЁ\u0301\u0306\u0323ガカ\u3099ｶﾞ手机นี้กิ우유ᄀ\u1161ᆨकि\u094d\u093c\u0958كِـشשָ"
        "🎉👩🏽🇩🇪🏴™ﬁ²¨\0\u00ad\u200d\u200f\ufe0f\u20e3“”－　"
    ),
    st.characters(codec="utf-8"),
)
TEXTS = st.text(ALPHABET)
exhaustively = settings(max_examples=EXAMPLES, deadline=None, database=None)


def parsed(text: str) -> Query | str:
    try:
        return parse_query(text)
    except SearchError as refusal:
        return str(refusal)


@given(TEXTS)
@exhaustively
def test_folding_twice_changes_nothing(text: str):
    assert fold(fold(text)) == fold(text)


@given(TEXTS | st.lists(st.sampled_from([*HOSTILE, "or", "milk", "-milk", '"blue', "手机"])).map(" ".join))
@exhaustively
def test_any_query_is_understood_or_refused(text: str):
    query = parsed(text)
    if isinstance(query, str):
        return
    assert all(query)
    for term in (term for terms in query for term in terms):
        assert term.pattern.strip(" ")
        assert not set(term.pattern) & set('\n\0"-%_\\')


@given(TEXTS, TEXTS)
@exhaustively
def test_each_word_of_a_text_finds_it(title: str, description: str):
    text = searchable(title, description)
    # Signs are a word after another one only, which they are written next to.
    for word in re.sub(" (?=[+#])", "", text).split():
        for query in (word, f'"{word}"', f"{word} {word}", f"{word} or nothing", f"nothing or {word}"):
            assert matches(parse_query(query), text), query
        assert not matches(parse_query(f"-{word}"), text)


@given(TEXTS, TEXTS)
@exhaustively
def test_a_text_is_found_as_a_phrase_of_its_own(title: str, description: str):
    quoted = title.translate(dict.fromkeys(map(ord, '"“”„‟«»＂')))
    assert matches(parse_query(f'"{quoted}"'), searchable(quoted, description))


@given(TEXTS)
@exhaustively
def test_a_query_means_the_same_in_every_case_and_form(text: str):
    # The iota subscript is a mark in lower case and a letter in upper case, so that other marks change places with it.
    assume("\u0345" not in normalize("NFD", text))
    for other in (text.swapcase(), normalize("NFC", text), normalize("NFD", text)):
        assert parsed(other) == parsed(text)


WORDS = st.sampled_from(["milk", "milkshake", "blue", "cap", "ca"])
CONDITIONS = st.tuples(st.booleans(), st.booleans(), st.lists(WORDS, min_size=1, max_size=3))


@given(
    st.lists(WORDS, max_size=5),
    st.lists(WORDS, max_size=5),
    st.lists(st.lists(CONDITIONS, min_size=1, max_size=3), min_size=1, max_size=3),
)
@exhaustively
def test_queries_mean_what_lists_of_words_say(title: list[str], description: list[str], alternatives):
    """Every condition is quoted or has parts, and `x` ends the query, so that the last word is none of them."""

    def occurs(words: list[str]) -> bool:
        texts = (title, description)
        return any(text[at : at + len(words)] == words for text in texts for at in range(len(text)))

    def said(quoted: bool, negated: bool, words: list[str]) -> str:
        return "-" * negated + (f'"{" ".join(words)}"' if quoted else "-".join(words))

    query = " or ".join(" ".join(said(*condition) for condition in conditions) for conditions in alternatives)
    expected = any(all(occurs(words) != negated for _, negated, words in conditions) for conditions in alternatives)
    text = searchable(" ".join(title), " ".join(description))
    assert matches(parse_query(f"{query} or x"), text) is expected


@pytest.mark.costs
@pytest.mark.parametrize(
    "sample",
    [
        "Buy milk, the blue-cap one! ",
        "Tiếng Việt có nhiều dấu ",
        "我要去商店买手机。",
        "우유를 사세요 ",
        "दूध खरीदना ",
        f"{FAMILY}🎉 ok ",
    ],
)
def test_a_long_text_takes_milliseconds(sample: str):
    text = (sample * 10_000)[:10_000]
    assert min(repeat(lambda: searchable(text), number=1, repeat=10)) < allowed(0.03)


@pytest.mark.parametrize("sample", ['"', "-", 'a"', '-"a', "a-", "\ufdfa", "or ", "\u0301", "🇩", "a手"])
def test_time_grows_with_the_length_of_a_hostile_query_only(sample: str):
    text = (sample * 10_000)[:10_000]
    assert min(repeat(lambda: parsed(text), number=1, repeat=5)) < allowed(2)
