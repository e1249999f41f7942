"""The agent on the system bus, and the commands that need an administrator. Every call is asynchronous."""

import os
import time

from gi.repository import Gio, GLib

NAME = "org.tunwarden.Agent1"
PATH = "/org/tunwarden/Agent1"
TUNWARDEN = "/usr/bin/tunwarden"

# How long a reconnect may take, in milliseconds: three attempts to start a VPN.
TIMEOUT = 600_000

# What pkexec exits with if the person has closed its window, and if the person may not do it.
NOT_ALLOWED = (126, 127)


class Agent:
    """The agent's properties and methods. `changed` is called when a property changes or the agent starts or ends."""

    def __init__(self, changed):
        self._changed = changed
        self._proxy = None
        Gio.DBusProxy.new_for_bus(
            Gio.BusType.SYSTEM, Gio.DBusProxyFlags.DO_NOT_AUTO_START, None, NAME, PATH, NAME, None, self._connected
        )

    def _connected(self, _source, result):
        try:
            self._proxy = Gio.DBusProxy.new_for_bus_finish(result)
        except GLib.Error:
            self._changed()
            return
        self._proxy.connect("g-properties-changed", lambda *_: self._changed())
        self._proxy.connect("notify::g-name-owner", lambda *_: self._changed())
        self._changed()

    def properties(self):
        """Every property by its name; None if no agent answers."""
        if self._proxy is None or self._proxy.get_name_owner() is None:
            return None
        names = self._proxy.get_cached_property_names() or []
        return {name: self._proxy.get_cached_property(name).unpack() for name in names}

    def call(self, method, arguments, done):
        """Calls a method. `done` gets its answer and an error for people, one of them None."""
        if self._proxy is None:
            done(None, "")
            return

        def ended(proxy, result):
            try:
                done(proxy.call_finish(result).unpack(), None)
            except GLib.Error as error:
                Gio.DBusError.strip_remote_error(error)
                done(None, error.message)

        flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        self._proxy.call(method, arguments, flags, TIMEOUT, None, ended)


def run(words, done):
    """Runs a program. `done` gets its exit status, what it printed and its errors."""
    flags = Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_PIPE
    try:
        process = Gio.Subprocess.new(words, flags)
    except GLib.Error as error:
        done(127, "", error.message)
        return

    def ended(process, result):
        _, out, errors = process.communicate_utf8_finish(result)
        done(process.get_exit_status() if process.get_if_exited() else 1, out or "", errors or "")

    process.communicate_utf8_async(None, None, ended)


def as_administrator(words, done):
    """Runs tunwarden as root, after a password."""
    run(["pkexec", "--disable-internal-agent", TUNWARDEN, *words], done)


def report_path():
    """A new file in the home folder for the report of a check."""
    return os.path.join(os.path.expanduser("~"), time.strftime("tunwarden-check-%Y-%m-%d-%H%M%S.html"))
