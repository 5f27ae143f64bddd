"""The invented wikis, pages, people and comments of the demo, in many scripts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Who edits. `kind`: "user", "bot", "temporary" (an account made for an unregistered editor) or "address"."""

    name: str
    kind: str = "user"


@dataclass(frozen=True, slots=True)
class Wiki:
    """One wiki: database name, domain, its share of the changes, and what its events are made of.

    `pages` are full titles with spaces, each with its namespace. `first_revision` is roughly the wiki's current
    revision id. `user` is its name of the namespace of user pages.
    """

    name: str
    domain: str
    weight: int
    first_revision: int
    pages: tuple[tuple[str, int], ...]
    people: tuple[Person, ...]
    comments: tuple[str, ...]
    category: str
    user: str = "User"


LISTED_PAGE = "Хроника одного маяка"
"""An article in `LISTED_WIKI` that is edited now and then, and redacted by config/development.yaml."""

ADDRESSES = (Person("192.0.2.77", "address"), Person("2001:DB8:0:0:8:800:200C:417A", "address"))
TEMPORARY = (Person("~2026-30417-58", "temporary"), Person("~2026-7719-2", "temporary"))
ITEMS = tuple((f"Q{number}", 0) for number in (42, 1085, 8083, 90210, 1300277, 20260412, 118203551))

WIKIS = (
    Wiki(
        "wikidatawiki",
        "www.wikidata.org",
        26,
        2_400_000_000,
        (*ITEMS, ("Property:P9999", 120), ("User talk:Larkspur Indexer", 3)),
        (Person("OrchardBot", "bot"), Person("DateTidyBot", "bot"), Person("Larkspur Indexer"), Person("Теплоход")),
        (
            "/* wbsetclaim-create:2||1 */ [[Property:P31]]: [[Q13442814]]",
            "/* wbsetlabel-add:1|ja */ 夜明けの町",
            "/* wbeditentity-update:0| */ batch 4711: dates",
            "/* wbsetreference-add:2| */ [[Property:P248]]: [[Q1085]]",
        ),
        "Category:Items to check",
    ),
    Wiki(
        "enwiki",
        "en.wikipedia.org",
        20,
        1_320_000_000,
        (
            ("Lantern-fish migration", 0),
            ("History of the pocket sundial", 0),
            ("AC/DC converter", 0),
            ("What is it like to be a teapot?", 0),
            ("Café & Bar “Ångström”", 0),
            ("100% cotton", 0),
            ("C++ in popular culture", 0),
            ("😀", 0),
            ("Talk:Lantern-fish migration", 1),
            ("User talk:Meadowlark Reader", 3),
            ("Wikipedia:Village pump (tea)", 4),
            ("Template:Infobox lighthouse", 10),
        ),
        (
            Person("Meadowlark Reader"),
            Person("O'Malley & Sons"),
            Person("Third Shelf Down"),
            Person("CommaBot", "bot"),
            Person("ArchiveHelperBot", "bot"),
            *ADDRESSES,
            *TEMPORARY,
        ),
        (
            "/* Early years */ copyedit",
            "Reverted edits by [[Special:Contributions/192.0.2.77|192.0.2.77]] ([[User talk:192.0.2.77|talk]])",
            "+ref, see <nowiki>[1]</nowiki> & talk",
            "typo 🐛",
            "",
        ),
        "Category:All articles with unsourced statements",
    ),
    Wiki(
        "commonswiki",
        "commons.wikimedia.org",
        18,
        1_140_000_000,
        (
            ("File:Lighthouse at dusk, 2026-03-01 (12).jpg", 6),
            ("File:Église de l'Île – façade.jpg", 6),
            ("File:東京の朝.jpg", 6),
            ("File:Карта реки.svg", 6),
            ("Category:Bridges by colour", 14),
            ("Commons:Featured picture candidates", 4),
        ),
        (Person("Harbour Snaps"), Person("GeoTagBot", "bot"), Person("写真好き"), Person("CatMoverBot", "bot")),
        ("/* wbsetclaim-create:2||1 */ [[d:Special:EntityPage/P180]]", "uploaded own work", "[[Category:Dusk]] added"),
        "Category:Photographs taken in 2026",
    ),
    Wiki(
        "ruwiki",
        "ru.wikipedia.org",
        8,
        146_000_000,
        (
            ("Ёлочная игрушка", 0),
            ("Список мостов (А—Я)", 0),
            ("Обсуждение:Ёлочная игрушка", 1),
            ("Википедия:К удалению", 4),
        ),
        (Person("Снегирь на ветке"), Person("ПравкаБот", "bot"), Person("Тётя Соня"), *TEMPORARY),
        ("/* История */ уточнение", "отмена правки, см. «Обсуждение»", "оформление"),
        "Категория:Незавершённые статьи",
        "Участник",
    ),
    Wiki(
        "arwiki",
        "ar.wikipedia.org",
        6,
        71_000_000,
        (("فنار البحر الأزرق", 0), ("نقاش:فنار البحر الأزرق", 1), ("ويكيبيديا:الميدان", 4), ("قائمة الجسور (٢٠٢٦)", 0)),
        (Person("حارس المكتبة"), Person("بوت التدقيق", "bot"), *ADDRESSES),
        ("/* التاريخ */ تدقيق لغوي", "إضافة مصدر", "استرجاع تعديلات [[خاص:مساهمات/192.0.2.77]]"),
        "تصنيف:مقالات بحاجة لمصادر",
        "مستخدم",
    ),
    Wiki(
        "hewiki",
        "he.wikipedia.org",
        3,
        42_000_000,
        (("מגדלור הצפון", 0), ('רשימת גשרים בארץ ע"פ אורך', 0), ("שיחה:מגדלור הצפון", 1)),
        (Person("ספרן הלילה"), Person("בוט הגהה", "bot")),
        ("/* היסטוריה */ הגהה", "הוספת מקור"),
        "קטגוריה:קצרמר",
        "משתמש",
    ),
    Wiki(
        "jawiki",
        "ja.wikipedia.org",
        7,
        105_000_000,
        (("夜明けの灯台", 0), ("ノート:夜明けの灯台", 1), ("Wikipedia:井戸端", 4), ("𠮷野家と𩸽", 0)),
        (Person("夜更かし司書"), Person("校正Bot", "bot"), *ADDRESSES),
        ("/* 歴史 */ 出典の追加", "誤字修正", "荒らしの差し戻し"),
        "Category:出典を必要とする記事",
        "利用者",
    ),
    Wiki(
        "zhwiki",
        "zh.wikipedia.org",
        6,
        88_000_000,
        (("蓝色灯塔", 0), ("討論:藍色燈塔", 1), ("Wikipedia:互助客栈/其他", 4)),
        (Person("江边读书人"), Person("校對機器人", "bot"), *TEMPORARY),
        ("/* 历史 */ 增加来源", "修正错别字", "回退破坏"),
        "Category:缺少来源的条目",
    ),
    Wiki(
        "kowiki",
        "ko.wikipedia.org",
        3,
        39_000_000,
        (("푸른 등대", 0), ("토론:푸른 등대", 1)),
        (Person("밤의 사서"), Person("맞춤법봇", "bot")),
        ("/* 역사 */ 출처 추가", "오타 수정"),
        "분류:출처가 필요한 문서",
        "사용자",
    ),
    Wiki(
        "hiwiki",
        "hi.wikipedia.org",
        2,
        6_400_000,
        (("नीला प्रकाशस्तंभ", 0), ("वार्ता:नीला प्रकाशस्तंभ", 1)),
        (Person("रात का पाठक"), Person("शुद्धिबॉट", "bot")),
        ("/* इतिहास */ सुधार", "स्रोत जोड़ा"),
        "श्रेणी:आधार लेख",
        "सदस्य",
    ),
    Wiki(
        "dewiki",
        "de.wikipedia.org",
        5,
        262_000_000,
        (
            ("Straßenbrücke über die Öse", 0),
            ("Diskussion:Straßenbrücke über die Öse", 1),
            ("Wikipedia:Löschkandidaten", 4),
        ),
        (Person("Leseratte Nord"), Person("KommaBot", "bot"), *ADDRESSES),
        ("/* Geschichte */ Beleg ergänzt", "Tippfehler", "Änderung rückgängig gemacht, siehe Diskussion"),
        "Kategorie:Wikipedia:Defekte Weblinks",
        "Benutzer",
    ),
    Wiki(
        "enwiktionary",
        "en.wiktionary.org",
        3,
        86_000_000,
        (("naïveté", 0), ("ᏣᎳᎩ", 0), ("ไทย", 0), ("🦉", 0), ("Reconstruction:Proto-Something/wódr̥", 118)),
        (Person("Owl of the Index"), Person("GlossBot", "bot")),
        ("/* Etymology */ +cognates", "t+sv:[[naivitet]] (Assisted)"),
        "Category:Terms with audio links",
    ),
)

LISTED_WIKI = next(wiki for wiki in WIKIS if wiki.name == "ruwiki")
WEBSITES = (
    "https://www.example.org/lighthouses/keepers?year=1911",
    "https://archive.example.net/details/harbour-almanac",
    "https://news.example.com/2026/03/bridge-opens",
    "https://library.example.edu/catalogue/9781234567897",
)
"""What pages cite."""
