"""Tests of what the window of settings computes. The folder of its source is the first argument."""

import sys
import unittest

sys.path.insert(0, sys.argv.pop(1))
sys.dont_write_bytecode = True

import model  # noqa: E402 the folder comes first
from texts import Texts, language  # noqa: E402

TEXTS = Texts({"LANG": "en_US.UTF-8"})
SSH = {"protocol": "tcp", "ports": [22], "from": "192.168.0.0/16"}
CLOSED = {
    "lan.allow": False,
    "docker.published_ports": "none",
    "input.allow": [],
    "vpn.connections": ["a"],
    "vpn.reconnect": "never",
}


class Model(unittest.TestCase):
    def test_each_change_that_opens_is_named_and_its_reverse_is_not(self):
        for key, value, said in (
            ("lan.allow", True, "local network, for this computer"),
            ("docker.published_ports", "lan", "ports of containers"),
            ("input.allow", [SSH], "TCP 22 from 192.168.0.0/16"),
            ("vpn.connections", [], "more VPNs"),
            ("vpn.connections", ["a", "b"], "more VPNs"),
            ("vpn.connections", ["b"], "more VPNs"),
        ):
            opened = {**CLOSED, key: value}
            lines = model.opens(CLOSED, opened, TEXTS)
            self.assertEqual(len(lines), 1, key)
            self.assertIn(said, lines[0])
        self.assertEqual(model.opens({**CLOSED, "vpn.connections": []}, CLOSED, TEXTS), [])
        self.assertEqual(model.opens({**CLOSED, "input.allow": [SSH]}, CLOSED, TEXTS), [])
        self.assertEqual(model.opens(CLOSED, {**CLOSED, "vpn.reconnect": "auto"}, TEXTS), [])

    def test_only_the_keys_that_differ_are_set(self):
        self.assertEqual(model.assignments(CLOSED, dict(CLOSED)), [])
        after = {**CLOSED, "lan.allow": True, "input.allow": [SSH], "vpn.connections": ['a "b" \\ ü']}
        self.assertEqual(
            model.assignments(CLOSED, after),
            [
                "lan.allow=true",
                'input.allow=[{ protocol = "tcp", ports = [22], from = "192.168.0.0/16" }]',
                'vpn.connections=["a \\"b\\" \\\\ ü"]',
            ],
        )

    def test_a_port_and_a_network_are_parsed_or_refused(self):
        self.assertEqual([model.port("22"), model.port(" 6000 - 6007 ")], [22, "6000-6007"])
        for wrong in ("", "0", "65536", "22,23", "7-6", "1-2-3", "ssh", "-1", "٢٢"):
            self.assertRaises(ValueError, model.port, wrong)
        self.assertEqual([model.network(""), model.network("10.0.0.5")], [None, "10.0.0.5/32"])
        for wrong in ("10.0.0.5/8", "home", "10.0.0"):
            self.assertRaises(ValueError, model.network, wrong)

    def test_the_icon_shows_no_more_protection_than_there_is(self):
        def face(verdict, state, enforced=True):
            return model.face({"Verdict": verdict, "State": state, "Enforced": enforced})[0]

        self.assertEqual(model.face(None), ("unknown", "state-unknown"))
        self.assertEqual(face("protected", "protected"), "protected")
        self.assertEqual(face("open", "protected", False), "failed")
        self.assertEqual(face("open", "paused"), "paused")
        self.assertEqual(face("open", "paused", False), "failed")
        self.assertEqual(face("unknown", "protected"), "unknown")
        self.assertEqual(face("locked", "lost"), "lost")
        self.assertEqual(face("locked", "protected", False), "locked")

    def test_a_profile_is_named_by_its_uuid_and_no_choice_is_lost(self):
        vpns = [
            {"name": "office", "origin": "networkmanager", "uuid": "4d1f"},
            {"name": "wg0", "origin": "wireguard"},
            {"name": "hook", "origin": "hook"},
        ]
        self.assertEqual(
            model.vpns({"Vpns": vpns}, ["gone"]), [("4d1f", "office"), ("wireguard:wg0", "wg0"), ("gone", "gone")]
        )
        self.assertEqual(model.vpns(None, ["gone"]), [("gone", "gone")])

    def test_the_language_is_chosen_as_by_the_notifier(self):
        known = ("en", "de", "fr", "es", "pt", "pl")
        for environment, chosen in (
            ({}, "en"),
            ({"LANG": "de_AT.UTF-8"}, "de"),
            ({"LANG": "pt_PT.UTF-8"}, "pt"),
            ({"LANG": "de_DE", "LANGUAGE": "nl:pl:fr"}, "pl"),
            ({"LANG": "de_DE", "LANGUAGE": "nl"}, "en"),
            ({"LANG": "C.UTF-8", "LANGUAGE": "de"}, "en"),
            ({"LC_ALL": "C", "LANG": "de_DE"}, "en"),
        ):
            self.assertEqual(language(environment, known), chosen, environment)

    def test_a_word_is_never_read_as_a_format(self):
        self.assertEqual(TEXTS.say("window-opens", what="{0} {x}"), "This opens: {0} {x}")


unittest.main()
