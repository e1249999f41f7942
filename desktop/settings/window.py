"""The window: three pages, each by a key with Alt."""

import gi

gi.require_version("Gtk", "3.0")

from gi.repository import Gio, Gtk  # noqa: E402 the version comes first

from agent import Agent  # noqa: E402
from blocked import BlockedPage  # noqa: E402
from settings import SettingsPage  # noqa: E402
from state import StatePage  # noqa: E402
from texts import Texts  # noqa: E402

ID = "org.tunwarden.settings"


class Window(Gtk.ApplicationWindow):
    """The pages, and the agent that they share."""

    def __init__(self, application, texts):
        super().__init__(application=application, title=texts.say("settings-name"))
        self.set_default_size(640, 560)
        self.set_icon_name("org.tunwarden.tunwarden")
        self._pages = []
        agent = Agent(self._update)
        self._state = StatePage(texts, agent)
        self._settings = SettingsPage(texts, agent)
        self._blocked = BlockedPage(texts, agent)
        self._pages = [self._state, self._settings]
        notebook = Gtk.Notebook(border_width=6)
        for page, key in (
            (self._state, "window-tab-state"),
            (self._settings, "window-tab-settings"),
            (self._blocked, "window-tab-blocked"),
        ):
            notebook.append_page(page, Gtk.Label.new_with_mnemonic(texts.say(key)))
        notebook.connect("switch-page", self._switched)
        self.add(notebook)
        notebook.show_all()
        self._update()
        notebook.grab_focus()

    def _update(self):
        for page in self._pages:
            page.update()

    def _switched(self, _notebook, page, _number):
        if page is self._blocked:
            self._blocked.read()


class Application(Gtk.Application):
    """One window. A second start shows the first one's."""

    def __init__(self):
        super().__init__(application_id=ID, flags=Gio.ApplicationFlags.FLAGS_NONE)
        self._texts = Texts()

    def do_activate(self):
        windows = self.get_windows()
        window = windows[0] if windows else Window(self, self._texts)
        window.present()
