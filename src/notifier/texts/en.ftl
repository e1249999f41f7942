# What a person reads. $name is a VPN's name, $program a program's; moments are written as "14:35".

lost-title = VPN lost: { $name }
lost-body = Nothing leaves this computer unprotected. The internet works again when the VPN is back.
lost-since = Lost at { $at }.
reconnecting-title = Connecting again: { $name }
still-closed = Nothing leaves this computer unprotected.
flapping-title = VPN unstable: { $name }
flapping-body = It was lost { $count } times within a minute.
back-title = Protected again
back-body = Everything goes through { $name } again.
steady-title = VPN steady again
steady-body = { $name } has held for a minute.

paused-title = Protection is off until { $until }
paused-body = { $minutes ->
    [one] For a minute everything leaves this computer without the VPN.
   *[other] For { $minutes } minutes everything leaves this computer without the VPN.
}
portal-title = Open for signing in until { $until }
portal-body = Web pages and the names they need leave this computer without the VPN. It ends when the VPN is connected.
resumed-title = Protection is on again
resumed-protected = Everything goes through the VPN.
resumed-locked = Nothing leaves this computer until the VPN is connected.

failed-title = This computer is not protected
failed-body = The protection could not be put in place: something may leave this computer outside the VPN.
failed-retry = tunwarden keeps trying. Best disconnect from the network until then.
closed-title = This computer is locked, but not as it should be
closed-body = The protection could not be put in place as it should be. Nothing leaves this computer unprotected, but the VPN may not work either. tunwarden keeps trying.
unread-title = It is not known whether this computer is protected
unread-body = tunwarden cannot check the protection: something may leave this computer outside the VPN.
in-force-title = Protection is in place again
in-force-body = Nothing leaves this computer outside the VPN.

repaired-title = Protection was damaged and repaired
repaired-body = { $count ->
    [one] Something on this computer took away part of the protection. It was put back at once.
   *[other] Something on this computer took away part of the protection { $count } times. It was put back each time.
}
repaired-by-body = { $count ->
    [one] { $program } took away part of the protection. It was put back at once.
   *[other] { $program } took away part of the protection { $count } times. It was put back each time.
}
fight-title = Something keeps taking the protection away
fight-by-title = { $program } keeps taking the protection away
fight-body = It was put back { $count } times within a minute. Two programs cannot both rule what may leave this computer: switch off the other one.

gone-title = tunwarden is not running
gone-body = Nobody follows the VPN, and nobody checks the protection.
gone-hint = An administrator can start it: sudo systemctl start tunwarden
returned-title = tunwarden is running again
returned-body = It follows the VPN again.

missed-title = The VPN was lost while you were away
missed-body = { $name } was lost at { $at } and is back.
missed-closed = Nothing left this computer unprotected meanwhile.
missed-open = The protection was off, damaged or could not be checked meanwhile: something may have left this computer unprotected.

refused-title = That was not done
refused-reconnect = The VPN could not be connected.
refused-pause = The pause was not started.
refused-resume = The pause was not ended.
refused-why = The reason: { $why }
not-allowed = It needs an administrator's password.
not-running = tunwarden is not running.

detail-title = Protection in detail
detail-state = State: { $state }
detail-since = Since: { $at }
detail-tunnel = VPN: { $name }, by way of { $interface }
detail-server = Its server: { $server }
detail-repairs = { $count ->
    [one] Repaired once since it was started.
   *[other] Repaired { $count } times since it was started.
}
detail-why = In tunwarden's own words: { $why }
detail-hint = All there is to know, in a terminal: tunwarden status
no-tunnel = No VPN

state-protected = Protected
state-connecting = Connecting
state-locked = Locked, no VPN
state-lost = VPN lost
state-failed = Not protected
state-paused = Protection is off
state-closed = Locked, not as it should be
state-unread = Not known: the protection cannot be checked
state-unknown = Not known: tunwarden does not answer
since = since { $at }
until = until { $until }
tunnel = VPN: { $name } ({ $interface })

reconnect = Reconnect
details = Details
pause = Pause for 5 minutes
resume = Resume

reason-link-gone = Its connection broke off.
reason-link-down = Its connection was switched off.
reason-no-address = Its connection is there, but can no longer be used.
reason-no-route = Something led your traffic away from it.
reason-client-restarts = Its server no longer answers.
reason-client-ended = The VPN program has ended.
reason-device-gone = The network that it ran over went away.
reason-service-stopped = The VPN program was stopped.
reason-ended = It ended by itself.
reason-silent-server = Its server no longer answers.
reason-management-restarts = It lost its server and is looking for it again.
reason-management-ends = The VPN program is ending by itself.
reason-management-closed = The VPN program can no longer be heard.
reason-restarted = It is being connected anew.
