# Was ein Mensch liest. $name ist der Name eines VPN, $program der eines Programms.

lost-title = VPN verloren: { $name }
lost-body = Nichts verlässt diesen Rechner ungeschützt. Das Internet geht wieder, sobald das VPN zurück ist.
lost-since = Verloren um { $at } Uhr.
reconnecting-title = Verbindet wieder: { $name }
still-closed = Nichts verlässt diesen Rechner ungeschützt.
flapping-title = VPN wackelt: { $name }
flapping-body = Es ging { $count }-mal in einer Minute verloren.
back-title = Wieder geschützt
back-body = Alles geht wieder durch { $name }.
steady-title = VPN wieder stabil
steady-body = { $name } hält seit einer Minute.

paused-title = Der Schutz ist aus bis { $until } Uhr
paused-body = { $minutes ->
    [one] Eine Minute lang verlässt alles diesen Rechner ohne VPN.
   *[other] { $minutes } Minuten lang verlässt alles diesen Rechner ohne VPN.
}
portal-title = Offen zum Anmelden bis { $until } Uhr
portal-body = Webseiten und die Namen dazu verlassen diesen Rechner ohne VPN. Das endet, sobald das VPN verbunden ist.
resumed-title = Der Schutz ist wieder an
resumed-protected = Alles geht durch das VPN.
resumed-locked = Nichts verlässt diesen Rechner, bis das VPN verbunden ist.

failed-title = Dieser Rechner ist nicht geschützt
failed-body = Der Schutz ließ sich nicht einrichten: Es kann etwas am VPN vorbei nach außen gelangen.
failed-retry = tunwarden versucht es weiter. Am besten bis dahin vom Netz trennen.
closed-title = Dieser Rechner ist gesperrt, aber nicht wie vorgesehen
closed-body = Der Schutz ließ sich nicht wie vorgesehen einrichten. Nichts verlässt diesen Rechner ungeschützt, aber auch das VPN geht vielleicht nicht. tunwarden versucht es weiter.
unread-title = Es ist nicht bekannt, ob dieser Rechner geschützt ist
unread-body = tunwarden kann den Schutz nicht prüfen: Es kann etwas am VPN vorbei nach außen gelangen.
in-force-title = Der Schutz steht wieder
in-force-body = Nichts verlässt diesen Rechner am VPN vorbei.

repaired-title = Der Schutz war beschädigt und ist repariert
repaired-body = { $count ->
    [one] Etwas auf diesem Rechner hat einen Teil des Schutzes entfernt. Er ist sofort wiederhergestellt worden.
   *[other] Etwas auf diesem Rechner hat { $count }-mal einen Teil des Schutzes entfernt. Er ist jedes Mal wiederhergestellt worden.
}
repaired-by-body = { $count ->
    [one] { $program } hat einen Teil des Schutzes entfernt. Er ist sofort wiederhergestellt worden.
   *[other] { $program } hat { $count }-mal einen Teil des Schutzes entfernt. Er ist jedes Mal wiederhergestellt worden.
}
fight-title = Etwas entfernt den Schutz immer wieder
fight-by-title = { $program } entfernt den Schutz immer wieder
fight-body = Er ist { $count }-mal in einer Minute wiederhergestellt worden. Zwei Programme können nicht beide bestimmen, was diesen Rechner verlässt: Schalten Sie das andere ab.

gone-title = tunwarden läuft nicht
gone-body = Niemand folgt dem VPN, und niemand prüft den Schutz.
gone-hint = Ein Verwalter kann es starten: sudo systemctl start tunwarden
returned-title = tunwarden läuft wieder
returned-body = Es folgt dem VPN wieder.

missed-title = Das VPN ging verloren, während Sie weg waren
missed-body = { $name } ging um { $at } Uhr verloren und ist zurück.
missed-closed = Nichts hat diesen Rechner inzwischen ungeschützt verlassen.
missed-open = Der Schutz war inzwischen aus, beschädigt oder ließ sich nicht prüfen: Es kann etwas diesen Rechner ungeschützt verlassen haben.

refused-title = Das ist nicht geschehen
refused-reconnect = Das VPN ließ sich nicht verbinden.
refused-pause = Die Pause hat nicht begonnen.
refused-resume = Die Pause wurde nicht beendet.
refused-why = Der Grund: { $why }
not-allowed = Dafür braucht es das Passwort eines Verwalters.
not-running = tunwarden läuft nicht.

detail-title = Der Schutz im Einzelnen
detail-state = Zustand: { $state }
detail-since = Seit: { $at } Uhr
detail-tunnel = VPN: { $name }, über { $interface }
detail-server = Sein Server: { $server }
detail-repairs = { $count ->
    [one] Seit dem Start einmal repariert.
   *[other] Seit dem Start { $count }-mal repariert.
}
detail-why = In tunwardens eigenen Worten: { $why }
detail-hint = Alles Weitere in einem Terminal: tunwarden status
no-tunnel = Kein VPN

state-protected = Geschützt
state-connecting = Verbindet
state-locked = Gesperrt, kein VPN
state-lost = VPN verloren
state-failed = Nicht geschützt
state-paused = Der Schutz ist aus
state-closed = Gesperrt, nicht wie vorgesehen
state-unread = Nicht bekannt: Der Schutz lässt sich nicht prüfen
state-unknown = Nicht bekannt: tunwarden antwortet nicht
since = seit { $at } Uhr
until = bis { $until } Uhr
tunnel = VPN: { $name } ({ $interface })

reconnect = Neu verbinden
details = Einzelheiten
pause = 5 Minuten aussetzen
resume = Wieder einschalten

reason-link-gone = Seine Verbindung ist abgebrochen.
reason-link-down = Seine Verbindung wurde abgeschaltet.
reason-no-address = Seine Verbindung ist da, aber nicht mehr brauchbar.
reason-no-route = Etwas hat Ihre Daten an ihm vorbeigelenkt.
reason-client-restarts = Sein Server antwortet nicht mehr.
reason-client-ended = Das VPN-Programm hat sich beendet.
reason-device-gone = Das Netz, über das es lief, ist weg.
reason-service-stopped = Das VPN-Programm wurde angehalten.
reason-ended = Es hat sich von selbst beendet.
reason-silent-server = Sein Server antwortet nicht mehr.
reason-management-restarts = Es hat seinen Server verloren und sucht ihn wieder.
reason-management-ends = Das VPN-Programm beendet sich von selbst.
reason-management-closed = Das VPN-Programm ist nicht mehr zu hören.
reason-restarted = Es wird neu verbunden.
