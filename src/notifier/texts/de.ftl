# Sätze für den Benutzer. $name ist der Name eines VPN, $program der Name eines Programms.

lost-title = VPN verloren: { $name }
lost-body = Nichts verlässt diesen Rechner ungeschützt. Das Internet geht wieder, sobald das VPN zurück ist.
lost-since = Verloren um { $at } Uhr.
waiting = { $count ->
    [one] Ein Container wartet darauf.
   *[other] { $count } Container warten darauf.
}
reconnecting-title = Verbindet wieder: { $name }
still-closed = Nichts verlässt diesen Rechner ungeschützt.
wires-open = Nicht aufgehalten werden auf diesem System: Container an macvlan oder ipvlan und Programme, die rohe Pakete senden.
flapping-title = VPN instabil: { $name }
flapping-body = Es ging { $count }-mal in einer Minute verloren.
back-title = Wieder geschützt
back-body = Alles geht wieder durch { $name }.
steady-title = VPN wieder stabil
steady-body = { $name } ist seit einer Minute verbunden.

paused-title = Der Schutz ist aus bis { $until } Uhr
paused-body = { $minutes ->
    [one] Eine Minute lang verlässt alles diesen Rechner ohne VPN.
   *[other] { $minutes } Minuten lang verlässt alles diesen Rechner ohne VPN.
}
portal-title = Offen zum Anmelden bis { $until } Uhr
portal-body = Anfragen nach Webseiten und Namen verlassen diesen Rechner ohne VPN. Das endet, sobald das VPN verbunden ist.
portal-found-title = Dieses Netz verlangt eine Anmeldung
portal-found-body = Vorher verbindet sich das VPN vielleicht nicht. Zum Anmelden können Sie Webseiten und Namen 10 Minuten lang öffnen: Sie verlassen diesen Rechner ohne VPN. Dafür braucht es das Passwort eines Systemverwalters.
resumed-title = Der Schutz ist wieder an
resumed-protected = Alles geht durch das VPN.
resumed-locked = Nichts verlässt diesen Rechner, bis das VPN verbunden ist.

failed-title = Dieser Rechner ist nicht geschützt
failed-body = Der Schutz ließ sich nicht einrichten: Es kann etwas am VPN vorbei nach außen gelangen.
failed-retry = tunwarden versucht es weiter. Trennen Sie bis dahin am besten die Verbindung zum Netz.
closed-title = Dieser Rechner ist gesperrt, aber der vorgesehene Schutz ist gescheitert
closed-body = Der vorgesehene Schutz ließ sich nicht einrichten, deshalb gelten andere Regeln. Das VPN geht vielleicht nicht. tunwarden versucht es weiter.
unread-title = Es ist unbekannt, ob dieser Rechner geschützt ist
unread-body = tunwarden kann den Schutz nicht prüfen: Es kann etwas am VPN vorbei nach außen gelangen.
in-force-title = Der Schutz gilt wieder
in-force-body = Nichts verlässt diesen Rechner am VPN vorbei.

repaired-title = Der Schutz war beschädigt und ist repariert
repaired-body = { $count ->
    [one] Ein Programm auf diesem Rechner hat einen Teil des Schutzes entfernt. tunwarden hat ihn sofort wiederhergestellt.
   *[other] Ein Programm auf diesem Rechner hat { $count }-mal einen Teil des Schutzes entfernt. tunwarden hat ihn jedes Mal wiederhergestellt.
}
repaired-by-body = { $count ->
    [one] { $program } hat einen Teil des Schutzes entfernt. tunwarden hat ihn sofort wiederhergestellt.
   *[other] { $program } hat { $count }-mal einen Teil des Schutzes entfernt. tunwarden hat ihn jedes Mal wiederhergestellt.
}
fight-title = Ein Programm entfernt den Schutz immer wieder
fight-by-title = { $program } entfernt den Schutz immer wieder
fight-body = tunwarden hat ihn { $count }-mal in einer Minute wiederhergestellt. Zwei Programme können nicht beide bestimmen, was diesen Rechner verlässt: Schalten Sie das andere ab.

gone-title = tunwarden läuft nicht
gone-body = Das VPN wird nicht überwacht, und der Schutz wird nicht geprüft.
gone-hint = Ein Systemverwalter kann es starten: sudo systemctl start tunwarden
returned-title = tunwarden läuft wieder
returned-body = Es überwacht das VPN wieder.

welcome-title = Dieser Rechner ist gesperrt, bis ein VPN verbunden ist
welcome-body = tunwarden ist installiert: Nichts verlässt diesen Rechner außerhalb eines VPN.
welcome-connect = Verbinden Sie Ihr VPN, dann geht das Internet wieder.
welcome-no-vpn = Hier ist noch kein VPN bekannt: Legen Sie eines in den Netzwerkeinstellungen an, oder starten Sie Ihr VPN-Programm.
welcome-not-counting = Keines der VPN hier zählt. Den Grund zeigt in einem Terminal: tunwarden status
welcome-pause = Alles für eine Weile öffnen: die Pause im Menü des Schilds in der Leiste.
welcome-init = Den Schutz an diesen Rechner anpassen, in einem Terminal: sudo tunwarden init
welcome-leave = Ihn entfernen: sudo apt remove tunwarden

uncounted-title = Durch { $name } geht nichts
uncounted-body = Der gesamte Datenverkehr geht in { $name }. Das zählt nicht als Ihr VPN.
missed-title = Das VPN ging verloren, während Sie weg waren
missed-body = { $name } ging um { $at } Uhr verloren und ist zurück.
missed-closed = In dieser Zeit hat nichts diesen Rechner ungeschützt verlassen.
missed-open = In dieser Zeit war der Schutz aus, beschädigt oder ließ sich nicht prüfen: Es kann etwas diesen Rechner ungeschützt verlassen haben.

refused-title = Die Anforderung wurde nicht ausgeführt
refused-reconnect = Das VPN ließ sich nicht verbinden.
refused-pause = Die Pause hat nicht begonnen.
refused-resume = Die Pause wurde nicht beendet.
refused-blocked = Es ist nicht bekannt, was blockiert wurde.
refused-journal = Das Protokoll wurde nicht geöffnet.
refused-check = Die Prüfung wurde nicht durchgeführt.
refused-why = Der Grund: { $why }
not-allowed = Dafür braucht es das Passwort eines Systemverwalters.
not-running = tunwarden läuft nicht.
no-pkexec = pkexec ist nicht installiert. In einem Terminal: sudo tunwarden prove
no-home = Sie haben keinen persönlichen Ordner für den Bericht.
check-old = Der Schutz hat sich während der Prüfung geändert: Prüfen Sie noch einmal.
no-network-manager = NetworkManager läuft nicht.
no-profile = NetworkManager hat für Sie kein solches VPN.
no-password = NetworkManager hat kein Passwort dafür, oder ein falsches.
no-answer = Sein Server hat nicht rechtzeitig geantwortet.
connect-ended = NetworkManager hat die Verbindung beendet. Den Grund zeigt in einem Terminal: journalctl -u NetworkManager
no-terminal = Es wurde kein Terminalprogramm gefunden. Versuchen Sie: tunwarden log

detail-title = Der Schutz im Einzelnen
detail-state = Zustand: { $state }
detail-since = Seit: { $at } Uhr
detail-tunnel = VPN: { $name }, über { $interface }
detail-server = Sein Server: { $server }
detail-repairs = { $count ->
    [one] Seit dem Start von tunwarden einmal repariert.
   *[other] Seit dem Start von tunwarden { $count }-mal repariert.
}
detail-why = tunwarden meldet: { $why }
detail-hint = Alle Einzelheiten in einem Terminal: tunwarden status
no-tunnel = Kein VPN

state-protected = Geschützt
state-connecting = Verbindet
state-locked = Gesperrt, kein VPN
state-lost = VPN verloren
state-failed = Nicht geschützt
state-paused = Der Schutz ist aus
state-closed = Durch andere Regeln gesperrt
state-unread = Unbekannt: Der Schutz lässt sich nicht prüfen
state-unknown = Unbekannt: tunwarden antwortet nicht
since = seit { $at } Uhr
until = bis { $until } Uhr
left = { $minutes ->
    [one] noch eine Minute
   *[other] noch { $minutes } Minuten
}
tunnel = VPN: { $name } ({ $interface })

blocked = Blockiert
blocked-title = In der letzten Stunde blockiert
blocked-line = { $destination }, { $count ->
    [one] einmal
   *[other] { $count }-mal
}: { $why }
blocked-by = { $who } an { $destination }, { $count ->
    [one] einmal
   *[other] { $count }-mal
}: { $why }
blocked-nothing = Keines Ihrer Programme wurde blockiert.
blocked-hint = Mehr in einem Terminal: tunwarden blocked
blocked-unknown = aus einem anderen Grund
blocked-no-vpn = kein VPN
blocked-vpn-lost = das VPN ist verloren
blocked-not-through-tunnel = nicht durch das VPN erlaubt
blocked-container-not-through-tunnel = für Container nicht durch das VPN erlaubt
blocked-dns-outside-tunnel = ein Name, außerhalb des VPN
blocked-not-on-link = nicht im lokalen Netz
blocked-lan-off = das lokale Netz ist aus
blocked-multicast = eine Gruppe im lokalen Netz
blocked-not-vpn-client = nur für das VPN-Programm
blocked-unknown-server = kein bekannter VPN-Server
blocked-container-policy = für diesen Container nicht erlaubt
blocked-published-ports = kein freigegebener Port
blocked-inbound = von außen
blocked-raw-frame = an den Regeln des Systems vorbei
blocked-paused-portal = die Pause ist nur zum Anmelden

reconnect = Neu verbinden
connect = { $name } verbinden
details = Details
pause = { $minutes } Minuten aussetzen
pause-portal = Aussetzen, um sich im Netz anzumelden
pause-portal-short = Pause zum Anmelden
journal = Protokoll öffnen
resume = Wieder einschalten
check = Diesen Rechner prüfen
check-proven = Geprüft: Kein Paket verlässt diesen Rechner ungeschützt
check-open = Geprüft: Pakete können diesen Rechner ungeschützt verlassen
check-not-shown = Geprüft: Es ist nicht bekannt, ob Pakete diesen Rechner ungeschützt verlassen
check-report = Der Bericht: { $file }
check-hint = Um auch Testpakete zu senden, in einem Terminal: sudo tunwarden prove --live

reason-link-gone = Seine Verbindung wurde unerwartet beendet.
reason-link-down = Seine Verbindung wurde abgeschaltet.
reason-no-address = Seine Verbindung besteht, ist aber nicht mehr brauchbar.
reason-no-route = Eine andere Route führt Ihre Daten am VPN vorbei.
reason-client-restarts = Sein Server antwortet nicht mehr.
reason-client-ended = Das VPN-Programm hat sich beendet.
reason-device-gone = Das Netz, das es benutzt hat, ist weg.
reason-service-stopped = Das VPN-Programm wurde angehalten.
reason-ended = Es hat sich ohne Aufforderung beendet.
reason-silent-server = Sein Server antwortet nicht mehr.
reason-management-restarts = Es hat seinen Server verloren und sucht ihn wieder.
reason-management-ends = Das VPN-Programm beendet sich ohne Aufforderung.
reason-management-closed = Das VPN-Programm meldet seinen Zustand nicht mehr.
reason-restarted = Es verbindet sich wieder.

## Das Einstellungsfenster, das Paket tunwarden-settings. Ein Buchstabe nach _ ist die Taste zu Alt. Jeder Text ist eine Zeile.

window-tab-state = _Zustand
window-tab-settings = _Einstellungen
window-tab-blocked = _Blockiert
window-verdict-protected = Programme erreichen das Internet nur durch das VPN.
window-verdict-locked = Nichts geht ins Internet, bis ein VPN verbunden ist.
window-verdict-open = Programme können das Internet am VPN vorbei erreichen.
window-verdict-unknown = Es ist nicht bekannt, was diesen Rechner verlässt.
window-report = Den Bericht anzeigen
window-wait = Bitte warten …
window-lan = Das _lokale Netzwerk erreichen
window-lan-about = Drucker, Dateiserver und andere Geräte. Namen von Webseiten werden dort nie abgefragt.
window-published = Die Ports von _Containern für das lokale Netzwerk öffnen
window-published-about = Sonst erreicht nur dieser Rechner die Ports, die Container veröffentlichen.
window-input = Ports, die andere öffnen dürfen
window-input-about = Antworten kommen immer herein. Ohne Eintrag kann sich kein anderes Gerät mit einem Programm dieses Rechners verbinden.
window-rule = { $protocol } { $ports } von { $from }
window-rule-any = { $protocol } { $ports } von jeder Adresse
window-rule-tunnel = { $what }, durch das VPN
window-protocol = P_rotokoll
window-port = _Port
window-from = Aus dem _Netzwerk
window-from-hint = 192.168.0.0/16; leer: jede Adresse
window-add = _Hinzufügen
window-remove = { $what } entfernen
window-vpns = VPNs, die zählen
window-vpns-all = _Jedes VPN dieses Rechners
window-vpns-about = Auch andere Benutzer dieses Rechners können ein VPN anlegen. Um nur dem eigenen zu vertrauen, hier auswählen.
window-vpns-chosen = Nur _diese:
window-reconnect = _Wenn das VPN verloren ist
window-reconnect-ask = mich fragen
window-reconnect-auto = wieder verbinden
window-reconnect-never = nichts tun
window-opens = Das öffnet: { $what }
window-opens-lan = das lokale Netzwerk, für diesen Rechner
window-opens-published = die Ports von Containern, für das lokale Netzwerk
window-opens-vpns = die Tunnel und Server weiterer VPNs
window-apply = _Anwenden
window-undo = Rückgän_gig
window-applied = Die Einstellungen sind in Kraft.
window-saved = Die Einstellungen sind gespeichert. Sie gelten, sobald tunwarden startet.
window-changed = Die Datei hat inzwischen andere Einstellungen. Nichts wurde geändert. Bitte erneut auswählen.
window-refused = Die Einstellungen sind nicht in Kraft.
window-unread = Die Einstellungen können nicht gelesen werden.
window-wrong-port = Einen Port von 1 bis 65535 angeben oder einen Bereich wie 6000-6007.
window-wrong-from = Ein Netzwerk angeben, etwa 192.168.0.0/16.
window-wrong-vpns = Mindestens ein VPN auswählen.
window-who = Programm
window-where = Ziel
window-count = Wie oft
window-why = Grund
window-own = eines Ihrer Programme
window-refresh = Ak_tualisieren

## Texte der Dateien des Pakets: das Menü, polkit, die Anwendungsverwaltung und die Installation.

file-menu-generic = VPN-Notausschalter
file-menu-comment = Zeigt, ob dieser Rechner geschützt ist
file-menu-keywords = VPN;Firewall;Notausschalter;Datenschutz;Leck;
file-autostart-comment = Meldet, wenn das VPN verloren geht, und zeigt, ob dieser Rechner geschützt ist
file-pause-description = Die Firewall für begrenzte Zeit öffnen
file-pause-message = Legitimierung ist notwendig, um Datenverkehr am VPN vorbei zu erlauben
file-reconnect-description = Das VPN wieder verbinden
file-reconnect-message = Legitimierung ist notwendig, um das VPN wieder zu verbinden
file-blocked-description = Sehen, was anderen Benutzern und Containern verweigert wurde
file-blocked-message = Legitimierung ist notwendig, um zu sehen, was andere Benutzer und Container erreichen wollten
file-prove-description = Prüfen, ob Pakete am VPN vorbei nach außen gehen
file-prove-message = Legitimierung ist notwendig, um die Regeln der Firewall zu lesen
file-settings-name = tunwarden-Einstellungen
file-settings-comment = Zeigt und ändert die Einstellungen des VPN-Notausschalters
file-settings-keywords = VPN;Firewall;Notausschalter;Einstellungen;lokales Netzwerk;
file-set-description = Die Einstellungen von tunwarden ändern
file-set-message = Legitimierung ist notwendig, um zu ändern, was diesen Rechner verlassen darf
file-about-summary = VPN-Notausschalter für diesen Rechner und seine Container
file-about-1 = tunwarden hält eine Firewall in Kraft, die nichts am VPN vorbei nach außen lässt: kein Programm dieses Rechners, keinen Docker-Container und keine virtuelle Maschine, mit IPv4 und IPv6. Nur das VPN-Programm erreicht seine eigenen Server.
file-about-2 = Ein Symbol in der Leiste zeigt den Zustand. Eine Benachrichtigung meldet, wenn das VPN verloren geht, und verbindet es mit einem Klick wieder.
file-about-3 = Die Installation sperrt diesen Rechner sofort: Bis ein VPN verbunden ist, öffnet sich keine Seite. Wer das Paket entfernt, bekommt das Netz zurück.
file-installed-locked = tunwarden: Dieser Rechner ist gesperrt: Nichts verlässt ihn am VPN vorbei. Ein verbundenes VPN bleibt verbunden.
file-installed-wires = tunwarden: Dieser Rechner ist gesperrt, außer für Container an macvlan oder ipvlan und Programme, die rohe Pakete senden. Ein verbundenes VPN bleibt verbunden.
file-installed-disabled = tunwarden: nicht gesperrt, weil seine Units abgeschaltet sind: sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden: NICHT GESPERRT. Den Grund zeigt: journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = den Zustand zeigen:
file-installed-pause = für fünf Minuten öffnen:
file-installed-remove = für immer entfernen:
