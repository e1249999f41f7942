# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tunwarden_global_optspecs
    string join \n config= h/help V/version
end

function __fish_tunwarden_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tunwarden_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tunwarden_using_subcommand
    set -l cmd (__fish_tunwarden_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tunwarden -n "__fish_tunwarden_needs_command" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "init" -d 'Look at this machine, write a configuration for it, and put it in force, to be confirmed'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "doctor" -d 'Say what is wrong and how to mend it. Exit: 1 when anything is'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "agent" -d 'Run the agent that follows the VPN (systemd does this)'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "lock" -d 'Put the locked rules in force, once; needs neither bus nor network'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "release" -d 'Take every trace of tunwarden out of the kernel again'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "status" -d 'Say whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open, 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "check" -d 'Read the configuration and say what it means. Exit: 2 when it has faults'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "rules" -d 'Print the exact rules of a state, as iptables-restore takes them'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "verify" -d 'Compare the kernel with the rules, line by line. Exit: 4 when they differ'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "pause" -d 'Open everything for a while: 90s, 5m, 1h30m'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "resume" -d 'Close again at once'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "reconnect" -d 'Bring the VPN back that was lost: the VPN, then its network, then all networks off and on'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "reload" -d 'Have the agent read its configuration anew. Exit: 2 when it is refused'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "notify" -d 'Show notifications and an indicator in this desktop session (it starts with the session)'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "log" -d 'Show what the agent wrote to the journal'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "version" -d 'Say what this is, and the versions of what it works with'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "hook" -d 'What OpenVPN and NetworkManager call; never fails them'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l undo -d 'What runs in the background meanwhile' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l yes -d 'Ask nothing and wait for no confirmation: for machines that nobody sits at'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l bundle -d 'Write one archive (tar.gz) for a bug report into a new file: what doctor and status say, the rules, versions and the journal of the last hour. Addresses and names are replaced' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l json -d 'Print it for programs'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l with-addresses -d 'Leave addresses and names in the archive as they are'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l second-reader -d 'Be the second reader of iptables: read questions on standard input and print what is there'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s v -l verbose -d 'Log every event as well'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -l yes -d 'Do not ask'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -l json -d 'Print it for programs'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s w -l watch -d 'Go on and print every change'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l state -d 'The state whose rules to print' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l tunnel -d 'The tunnel\'s interface' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l endpoint -d 'A server that is known or in use, such as 198.51.100.7:1194/udp; may be given several times' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l format -d 'Which tool\'s rules' -r -f -a "iptables\t''
ip6tables\t''
ipset\t'The sets that the rules name, when there are more than 64 servers; they are loaded first'
nft\t''"
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -l for -d 'Open only what this takes: for a captive portal DNS, HTTP and HTTPS on the way out, for this machine and not its containers, until the VPN is up' -r -f -a "portal\t''"
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l symbolic -d 'An indicator without colours, as some panels have them'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s v -l verbose -d 'Log every event as well'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -l since -d 'Only lines after this moment, as journalctl takes it: -1h, today, "2026-01-31 12:00"' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s f -l follow -d 'Go on and show each new line'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "openvpn" -d 'OpenVPN\'s up and down: reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "dispatcher" -d 'NetworkManager\'s dispatcher: an interface and an action'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -l config -d 'The configuration to use' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "openvpn" -d 'OpenVPN\'s up and down: reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "dispatcher" -d 'NetworkManager\'s dispatcher: an interface and an action'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "init" -d 'Look at this machine, write a configuration for it, and put it in force, to be confirmed'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "doctor" -d 'Say what is wrong and how to mend it. Exit: 1 when anything is'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "agent" -d 'Run the agent that follows the VPN (systemd does this)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "lock" -d 'Put the locked rules in force, once; needs neither bus nor network'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "release" -d 'Take every trace of tunwarden out of the kernel again'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "status" -d 'Say whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open, 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "check" -d 'Read the configuration and say what it means. Exit: 2 when it has faults'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "rules" -d 'Print the exact rules of a state, as iptables-restore takes them'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "verify" -d 'Compare the kernel with the rules, line by line. Exit: 4 when they differ'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "pause" -d 'Open everything for a while: 90s, 5m, 1h30m'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "resume" -d 'Close again at once'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "reconnect" -d 'Bring the VPN back that was lost: the VPN, then its network, then all networks off and on'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "reload" -d 'Have the agent read its configuration anew. Exit: 2 when it is refused'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "notify" -d 'Show notifications and an indicator in this desktop session (it starts with the session)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "log" -d 'Show what the agent wrote to the journal'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "version" -d 'Say what this is, and the versions of what it works with'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "hook" -d 'What OpenVPN and NetworkManager call; never fails them'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify pause resume reconnect reload notify log version hook help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "openvpn" -d 'OpenVPN\'s up and down: reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "dispatcher" -d 'NetworkManager\'s dispatcher: an interface and an action'
