"""The texts of the window in the language of the user.

`texts.json` is made from `src/notifier/texts/*.ftl` by `cargo run --example texts`.
"""

import json
import os

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "texts.json")


def spoken(locale):
    """The language of a locale, without country, encoding and variant."""
    for mark in "_.@-":
        locale = locale.split(mark)[0]
    return locale


def language(environment, known):
    """The user's language, chosen as src/notifier/language.rs does it."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "")
    wanted = locale
    if spoken(locale) not in ("", "C", "POSIX"):
        wanted = environment.get("LANGUAGE") or locale
    return next((spoken(one) for one in wanted.split(":") if spoken(one) in known), "en")


class Texts:
    """Every text in one language."""

    def __init__(self, environment=os.environ, path=PATH):
        with open(path, encoding="utf-8") as file:
            languages = json.load(file)
        self.language = language(environment, languages)
        self._texts = languages[self.language]

    def say(self, key, **words):
        """The text with this key. A word is put in as it is, and never read as a format."""
        text = self._texts[key]
        parts = text.split("{")
        said = parts[0]
        for part in parts[1:]:
            name, rest = part.split("}", 1)
            said += str(words[name]) + rest
        return said

    def reason(self, reason):
        """Why a packet was refused."""
        return self._texts.get("blocked-" + reason, self._texts["blocked-unknown"])
