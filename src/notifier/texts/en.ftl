# Sentences for the user. $name is the name of a VPN, $program the name of a program; times are written as "14:35".

lost-title = VPN lost: { $name }
lost-body = Nothing leaves this computer unprotected. The internet works again when the VPN is back.
lost-since = Lost at { $at }.
waiting = { $count ->
    [one] A container is waiting for it.
   *[other] { $count } containers are waiting for it.
}
reconnecting-title = Connecting again: { $name }
still-closed = Nothing leaves this computer unprotected.
wires-open = Not stopped on this system: containers on macvlan or ipvlan, and programs that send raw packets.
flapping-title = VPN unstable: { $name }
flapping-body = It was lost { $count } times within a minute.
back-title = Protected again
back-body = Everything goes through { $name } again.
steady-title = VPN stable again
steady-body = { $name } has been connected for a minute.

paused-title = Protection is off until { $until }
paused-body = { $minutes ->
    [one] For a minute everything leaves this computer without the VPN.
   *[other] For { $minutes } minutes everything leaves this computer without the VPN.
}
portal-title = Open for signing in until { $until }
portal-body = Requests for web pages and names leave this computer without the VPN. This ends when the VPN is connected.
portal-found-title = This network asks you to sign in
portal-found-body = The VPN may not connect before that. To sign in, you can open web pages and names for 10 minutes: they leave this computer without the VPN. It needs an administrator's password.
resumed-title = Protection is on again
resumed-protected = Everything goes through the VPN.
resumed-locked = Nothing leaves this computer until the VPN is connected.

failed-title = This computer is not protected
failed-body = The protection could not be put in place: something may leave this computer outside the VPN.
failed-retry = tunwarden keeps trying. It is best to disconnect from the network until then.
closed-title = This computer is locked, but the intended protection has failed
closed-body = The intended protection could not be put in place, so other rules are in force. The VPN may not work. tunwarden keeps trying.
unread-title = It is unknown whether this computer is protected
unread-body = tunwarden cannot check the protection: something may leave this computer outside the VPN.
in-force-title = Protection is in place again
in-force-body = Nothing leaves this computer outside the VPN.

repaired-title = Protection was damaged and repaired
repaired-body = { $count ->
    [one] A program on this computer removed part of the protection. tunwarden restored it immediately.
   *[other] A program on this computer removed part of the protection { $count } times. tunwarden restored it each time.
}
repaired-by-body = { $count ->
    [one] { $program } removed part of the protection. tunwarden restored it immediately.
   *[other] { $program } removed part of the protection { $count } times. tunwarden restored it each time.
}
fight-title = A program keeps removing the protection
fight-by-title = { $program } keeps removing the protection
fight-body = tunwarden restored it { $count } times within a minute. Two programs cannot both control what may leave this computer: switch off the other one.

gone-title = tunwarden is not running
gone-body = The VPN is not monitored, and the protection is not checked.
gone-hint = An administrator can start it: sudo systemctl start tunwarden
returned-title = tunwarden is running again
returned-body = It monitors the VPN again.

welcome-title = This computer is locked until a VPN is connected
welcome-body = tunwarden is installed: nothing leaves this computer outside a VPN.
welcome-connect = Connect your VPN, and the internet works again.
welcome-no-vpn = No VPN is known here yet: add one in the network settings, or start your VPN program.
welcome-not-counting = None of the VPNs here counts. To see why, in a terminal: tunwarden status
welcome-pause = To open everything for a while: the pause in the menu of the shield in the panel.
welcome-init = To fit the protection to this computer, in a terminal: sudo tunwarden init
welcome-leave = To remove it: sudo apt remove tunwarden

uncounted-title = Nothing passes through { $name }
uncounted-body = All traffic goes into { $name }, which does not count as your VPN.
missed-title = The VPN was lost while you were away
missed-body = { $name } was lost at { $at } and is back.
missed-closed = Nothing left this computer unprotected during that time.
missed-open = During that time the protection was off, damaged or could not be checked: something may have left this computer unprotected.

refused-title = The request was not carried out
refused-reconnect = The VPN could not be connected.
refused-pause = The pause was not started.
refused-resume = The pause was not ended.
refused-blocked = It is not known what was blocked.
refused-journal = The journal was not opened.
refused-check = The check was not made.
refused-why = The reason: { $why }
not-allowed = It needs an administrator's password.
not-running = tunwarden is not running.
no-pkexec = pkexec is not installed. In a terminal: sudo tunwarden prove
no-home = You have no home folder for the report.
check-old = The protection changed during the check: check again.
no-network-manager = NetworkManager is not running.
no-profile = NetworkManager has no such VPN for you.
no-password = NetworkManager has no password for it, or a wrong one.
no-answer = Its server did not answer in time.
connect-ended = NetworkManager ended the connection. To see why, in a terminal: journalctl -u NetworkManager
no-terminal = No terminal program was found. Try: tunwarden log

detail-title = Protection in detail
detail-state = State: { $state }
detail-since = Since: { $at }
detail-tunnel = VPN: { $name }, through { $interface }
detail-server = Its server: { $server }
detail-repairs = { $count ->
    [one] Repaired once since tunwarden was started.
   *[other] Repaired { $count } times since tunwarden was started.
}
detail-why = tunwarden reports: { $why }
detail-hint = To see all details in a terminal: tunwarden status
no-tunnel = No VPN

state-protected = Protected
state-connecting = Connecting
state-locked = Locked, no VPN
state-lost = VPN lost
state-failed = Not protected
state-paused = Protection is off
state-closed = Locked by other rules
state-unread = Unknown: the protection cannot be checked
state-unknown = Unknown: tunwarden does not answer
since = since { $at }
until = until { $until }
left = { $minutes ->
    [one] one minute left
   *[other] { $minutes } minutes left
}
tunnel = VPN: { $name } ({ $interface })

blocked = Blocked
blocked-title = Blocked in the last hour
blocked-line = { $destination }, { $count ->
    [one] once
   *[other] { $count } times
}: { $why }
blocked-by = { $who } to { $destination }, { $count ->
    [one] once
   *[other] { $count } times
}: { $why }
blocked-nothing = None of your programs was blocked.
blocked-hint = To see more in a terminal: tunwarden blocked
blocked-unknown = for another reason
blocked-no-vpn = no VPN
blocked-vpn-lost = the VPN is lost
blocked-not-through-tunnel = not allowed through the VPN
blocked-container-not-through-tunnel = not allowed through the VPN for containers
blocked-dns-outside-tunnel = a name, outside the VPN
blocked-not-on-link = not in the local network
blocked-lan-off = the local network is off
blocked-multicast = a group in the local network
blocked-not-vpn-client = for the VPN program alone
blocked-unknown-server = not a known VPN server
blocked-container-policy = not allowed for this container
blocked-published-ports = not a published port
blocked-inbound = from outside
blocked-raw-frame = past the system's rules
blocked-paused-portal = the pause is only for signing in

reconnect = Reconnect
connect = Connect { $name }
details = Details
pause = Pause for { $minutes } minutes
pause-portal = Pause to sign in to this network
pause-portal-short = Pause to sign in
journal = Open the journal
resume = Resume
check = Check this machine
check-proven = Checked: no packet leaves this computer unprotected
check-open = Checked: packets can leave this computer unprotected
check-not-shown = Checked: it is not known whether packets leave this computer unprotected
check-report = The report: { $file }
check-hint = To also send test packets, in a terminal: sudo tunwarden prove --live

reason-link-gone = Its connection ended unexpectedly.
reason-link-down = Its connection was switched off.
reason-no-address = Its connection exists, but can no longer be used.
reason-no-route = Another route sends your traffic past it.
reason-client-restarts = Its server no longer answers.
reason-client-ended = The VPN program has ended.
reason-device-gone = The network that it used is gone.
reason-service-stopped = The VPN program was stopped.
reason-ended = It ended without a request.
reason-silent-server = Its server no longer answers.
reason-management-restarts = It lost its server and is looking for it again.
reason-management-ends = The VPN program is ending without a request.
reason-management-closed = The VPN program no longer reports its state.
reason-restarted = It is connecting again.

## The window of settings, the package tunwarden-settings. A letter after _ is its key with Alt. Each text is one line.

window-tab-state = _State
window-tab-settings = S_ettings
window-tab-blocked = _Blocked
window-verdict-protected = Programs reach the internet through the VPN alone.
window-verdict-locked = Nothing goes to the internet until a VPN is connected.
window-verdict-open = Programs can reach the internet outside the VPN.
window-verdict-unknown = It is not known what leaves this computer.
window-report = Show the report
window-wait = Please wait …
window-lan = Reach the _local network
window-lan-about = Printers, file servers and other machines. Names of web pages are never looked up there.
window-published = Open the ports of _containers to the local network
window-published-about = Otherwise only this computer reaches the ports that containers publish.
window-input = Ports that others may open
window-input-about = Replies always come in. Without an entry, no other machine can connect to a program of this computer.
window-rule = { $protocol } { $ports } from { $from }
window-rule-any = { $protocol } { $ports } from every address
window-rule-tunnel = { $what }, through the VPN
window-protocol = P_rotocol
window-port = P_ort
window-from = _From the network
window-from-hint = 192.168.0.0/16; empty: every address
window-add = A_dd
window-remove = Remove { $what }
window-vpns = VPNs that count
window-vpns-all = E_very VPN of this computer
window-vpns-about = Other users of this computer can make a VPN too. To trust only yours, choose it here.
window-vpns-chosen = Only _these:
window-reconnect = _When the VPN is lost
window-reconnect-ask = ask me
window-reconnect-auto = connect it again
window-reconnect-never = do nothing
window-opens = This opens: { $what }
window-opens-lan = the local network, for this computer
window-opens-published = the ports of containers, for the local network
window-opens-vpns = the tunnels and servers of more VPNs
window-apply = _Apply
window-undo = _Undo
window-applied = The settings are in force.
window-saved = The settings are saved. They are in force when tunwarden starts.
window-changed = The file has other settings now. Nothing was changed. Please choose again.
window-refused = The settings are not in force.
window-unread = The settings cannot be read.
window-wrong-port = Write a port from 1 to 65535, or a range such as 6000-6007.
window-wrong-from = Write a network, such as 192.168.0.0/16.
window-wrong-vpns = Choose at least one VPN.
window-who = Program
window-where = Destination
window-count = How often
window-why = Reason
window-own = a program of yours
window-refresh = _Refresh

## Texts of the package's files: the menu, polkit, the software manager and the installation.

file-menu-generic = VPN Kill Switch
file-menu-comment = Shows whether this computer is protected
file-menu-keywords = VPN;firewall;kill switch;privacy;leak;
file-autostart-comment = Notifies you when the VPN is lost, and shows whether this computer is protected
file-pause-description = Open the firewall for a limited time
file-pause-message = Authentication is needed to allow traffic outside the VPN
file-reconnect-description = Connect the VPN again
file-reconnect-message = Authentication is needed to connect the VPN again
file-blocked-description = See what other users and containers were refused
file-blocked-message = Authentication is needed to see what other users and containers tried to reach
file-prove-description = Check whether packets leave outside the VPN
file-prove-message = Authentication is needed to read the rules of the firewall
file-settings-name = tunwarden Settings
file-settings-comment = Shows and changes the settings of the VPN kill switch
file-settings-keywords = VPN;firewall;kill switch;settings;local network;
file-set-description = Change the settings of tunwarden
file-set-message = Authentication is needed to change what may leave this computer
file-about-summary = VPN kill switch for this computer and its containers
file-about-1 = tunwarden keeps a firewall in place that lets nothing leave outside the VPN: no program of this computer, no Docker container and no virtual machine, with IPv4 and IPv6. Only the VPN client may reach its own servers.
file-about-2 = An indicator in the panel shows the state. A notification tells you when the VPN is lost, and connects it again with one click.
file-about-3 = Installing it locks this computer at once: until a VPN is connected, no page opens. Removing it gives the network back.
file-installed-locked = tunwarden: this machine is locked: nothing leaves outside the VPN. A connected VPN stays connected.
file-installed-wires = tunwarden: this machine is locked, except for containers on macvlan or ipvlan and programs that send raw packets. A connected VPN stays connected.
file-installed-disabled = tunwarden: not locked, because its units are disabled: sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden: NOT LOCKED. To see why: journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = show the state:
file-installed-pause = open for five minutes:
file-installed-remove = remove permanently:
