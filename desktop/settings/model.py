"""What the window shows and changes, without any widget, file or bus."""

import ipaddress
import json

# The keys of the configuration that the window changes.
KEYS = ("lan.allow", "docker.published_ports", "input.allow", "vpn.connections", "vpn.reconnect")

PAUSES = (5, 30, 60)


def face(properties):
    """The icon and the key of the headline: never more protection than the kernel holds."""
    if properties is None:
        return "unknown", "state-unknown"
    verdict, state = properties.get("Verdict", "unknown"), properties.get("State", "")
    if verdict == "unknown":
        return "unknown", "state-unread"
    if state == "paused" and verdict == "open" and properties.get("Enforced"):
        return "paused", "state-paused"
    if verdict == "open":
        return "failed", "state-failed"
    if verdict == "locked" and not properties.get("Enforced"):
        return ("lost", "state-lost") if state == "lost" else ("locked", "state-closed")
    if verdict == "protected":
        return "protected", "state-protected"
    if state in ("connecting", "lost"):
        return state, "state-" + state
    return "locked", "state-locked"


def sentence(properties):
    """The key of the sentence below the headline."""
    if properties is None:
        return "gone-hint"
    verdict = properties.get("Verdict")
    return "window-verdict-" + (verdict if verdict in ("protected", "locked", "open") else "unknown")


def settings(values):
    """What the window shows, of all settings of the file."""
    return {key: values[key] for key in KEYS}


def toml(value):
    """A value as TOML, in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def assignments(before, after):
    """What `tunwarden set` is asked for: the keys that differ."""
    return [f"{key}={toml(after[key])}" for key in KEYS if after[key] != before[key]]


def rule_in_words(rule, texts):
    """One entry of input.allow."""
    ports = ", ".join(str(port) for port in rule.get("ports", []))
    words = {"protocol": rule.get("protocol", "").upper(), "ports": ports}
    if rule.get("from"):
        said = texts.say("window-rule", **words, **{"from": rule["from"]})
    else:
        said = texts.say("window-rule-any", **words)
    said = " ".join(said.split())
    return texts.say("window-rule-tunnel", what=said) if rule.get("on") == "tunnel" else said


def opens(before, after, texts):
    """What a change opens, a sentence for each key. Nothing for a change that only closes."""
    found = []
    if after["lan.allow"] and not before["lan.allow"]:
        found.append(texts.say("window-opens-lan"))
    key = "docker.published_ports"
    if after[key] == "lan" and before[key] != "lan":
        found.append(texts.say("window-opens-published"))
    found += [rule_in_words(rule, texts) for rule in after["input.allow"] if rule not in before["input.allow"]]
    old, new = set(before["vpn.connections"]), set(after["vpn.connections"])
    if old and (not new or new - old):
        found.append(texts.say("window-opens-vpns"))
    return [texts.say("window-opens", what=what) for what in found]


def port(text):
    """A port or a range as the configuration has it. ValueError if it is neither."""
    parts = [part.strip() for part in text.split("-")]
    if not all(part.isascii() and part.isdigit() for part in parts) or len(parts) > 2:
        raise ValueError(text)
    numbers = [int(part) for part in parts]
    if not all(1 <= number <= 65535 for number in numbers) or numbers != sorted(numbers):
        raise ValueError(text)
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]}-{numbers[1]}"


def network(text):
    """A network as the configuration has it; None for every address. ValueError if it is no network."""
    text = text.strip()
    return str(ipaddress.ip_network(text)) if text else None


def rule(protocol, ports, source):
    """A new entry of input.allow."""
    made = {"protocol": protocol, "ports": [port(ports)]}
    if source is not None:
        made["from"] = source
    return made


def vpns(properties, named):
    """The VPNs to choose from, as pairs of the entry in vpn.connections and the name to show."""
    choices = {}
    for vpn in (properties or {}).get("Vpns", []):
        origin, name = vpn.get("origin", ""), vpn.get("name", "")
        if origin == "networkmanager":
            # A name may be of any user's making: only the UUID means this profile.
            entry = name if name in named else vpn.get("uuid", name)
        elif origin in ("wireguard", "openvpn"):
            entry = f"{origin}:{name}"
        else:
            continue
        choices.setdefault(entry, name)
    for entry in named:
        choices.setdefault(entry, entry)
    return list(choices.items())


def who(group, texts):
    """Who was refused."""
    return group.get("name") or texts.say("window-own")


def destination(group):
    """Where a refused packet was for."""
    address, number = group.get("address", ""), group.get("port")
    if number is None:
        return f"{address} {group.get('protocol', '')}"
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{number}/{group.get('protocol', '')}"
