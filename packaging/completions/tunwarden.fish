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

complete -c tunwarden -n "__fish_tunwarden_needs_command" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "init" -d 'Write a configuration for this machine and put it in force; it is undone unless you confirm it'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "doctor" -d 'Show what is wrong and how to fix it. Exit: 1 if anything is wrong'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "agent" -d 'Run the agent that follows the VPN (systemd does this)'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "lock" -d 'Put the locked rules in force, once. Needs no bus and no network'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "release" -d 'Remove all rules of tunwarden from the kernel. Everything leaves in clear then'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "status" -d 'Show whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open, 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "check" -d 'Read the configuration and explain what it means. Exit: 2 if it has faults'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "rules" -d 'Print the exact rules of a state, in the format of iptables-restore'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "verify" -d 'Compare the rules in the kernel with the expected rules. Exit: 4 if they differ'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "prove" -d 'Compute from the kernel\'s own rules that no packet can leave in clear. Exit: 0 proven; 4 a packet can leave; 1 it could not be shown'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "why" -d 'Show what would happen to such a packet now, and which rule of which program decides. Exit: 0 it goes to the tunnel, the LAN or a VPN server; 3 refused; 4 it would leave in clear; 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "blocked" -d 'Show who was refused, where to, how often and why'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "pause" -d 'Open everything for a limited time: 90s, 5m, 1h30m'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "resume" -d 'End a pause immediately'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "reconnect" -d 'Reconnect a lost VPN: restart the VPN, then its network, then all networks'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "reload" -d 'Tell the agent to read its configuration again. Exit: 2 if it is refused'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "set" -d 'Change keys of the configuration, with its comments kept, and put it in force. Exit: 2 if it is refused'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "notify" -d 'Show notifications and an indicator in this desktop session (starts with the session)'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "log" -d 'Show the log of the agent from the journal'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "version" -d 'Show the version of tunwarden and of the programs that it uses'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "hook" -d 'Called by OpenVPN and NetworkManager; always exits with 0'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "hosts" -d 'Started by systemd for the agent: writes pins to /etc/hosts'
complete -c tunwarden -n "__fish_tunwarden_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l undo -d 'Run the process that restores the earlier state from this folder unless it is confirmed' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -l yes -d 'Ask nothing and do not wait for a confirmation. For machines without a user in front of them'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand init" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l bundle -d 'Write one archive (tar.gz) for a bug report into a new file: the output of doctor and status, the rules, versions and the journal of the last hour. Addresses and names are replaced' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l json -d 'Print JSON, for programs'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l with-addresses -d 'Keep addresses and names in the archive unchanged'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -l second-reader -d 'Run as the second reader of iptables: read questions from standard input and print the answers'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s v -l verbose -d 'Log every event too'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand agent" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand lock" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -l yes -d 'Do not ask for confirmation'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand release" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -l json -d 'Print JSON, for programs'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s w -l watch -d 'Keep running and print every change'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand status" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand check" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l state -d 'The state whose rules to print' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l tunnel -d 'The tunnel\'s interface' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l endpoint -d 'A server that is known or in use, such as 198.51.100.7:1194/udp; can be given several times' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l format -d 'The tool whose rules to print' -r -f -a "iptables\t''
ip6tables\t''
ipset\t'The sets that the rules use if there are more than 64 servers. Load them before the rules'
nft\t''"
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand rules" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand verify" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -l report -d 'Write a report into a new file: one page of HTML for people to read and keep' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -l json -d 'Print JSON'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -l live -d 'Also send real probes to documentation addresses, while temporary rules on every link drop all that the other rules let out'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand prove" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -l as -d 'From a program of this user, by name or by number. The default is the user who runs sudo' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -l from -d 'From this container of Docker, or from behind this bridge' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -l json -d 'Print JSON: an object a line for each destination'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand why" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -l since -d 'Only refusals of this last period, for example 10m. The agent keeps one hour' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -s f -l follow -d 'Keep running and print each refusal as it happens'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -l json -d 'Print JSON, for programs: an array, or with --follow an object a line'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand blocked" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -l for -d 'Open only what WHAT needs. A captive portal needs outgoing DNS, HTTP and HTTPS of this machine, not of its containers. The pause ends when the VPN is up' -r -f -a "portal\t''"
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand pause" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand resume" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reconnect" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand reload" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand set" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand set" -l dry-run -d 'Show the lines that would change, and change nothing. Needs no root'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand set" -l json -d 'Show every key with its value as JSON'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand set" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand set" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l symbolic -d 'Show an indicator without colours, as some panels need'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l details -d 'Show the details now, also if the notifier runs already (the entry in the menu of applications does this)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -l replace -d 'Replace the notifier that runs in this session, and do nothing if none runs (an upgrade of the package does this)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s v -l verbose -d 'Log every event too'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand notify" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -l since -d 'Only lines after this moment, as journalctl takes it: -1h, today, "2026-01-31 12:00"' -r
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s f -l follow -d 'Keep running and show each new line'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand log" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand version" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "openvpn" -d 'Called for OpenVPN\'s up and down events; reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "dispatcher" -d 'Called by NetworkManager\'s dispatcher with an interface and an action'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and not __fish_seen_subcommand_from openvpn dispatcher help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from openvpn" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from dispatcher" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "openvpn" -d 'Called for OpenVPN\'s up and down events; reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "dispatcher" -d 'Called by NetworkManager\'s dispatcher with an interface and an action'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hosts" -l config -d 'Use this configuration file' -r -F
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hosts" -s h -l help -d 'Print help'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand hosts" -s V -l version -d 'Print version'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "init" -d 'Write a configuration for this machine and put it in force; it is undone unless you confirm it'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "doctor" -d 'Show what is wrong and how to fix it. Exit: 1 if anything is wrong'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "agent" -d 'Run the agent that follows the VPN (systemd does this)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "lock" -d 'Put the locked rules in force, once. Needs no bus and no network'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "release" -d 'Remove all rules of tunwarden from the kernel. Everything leaves in clear then'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "status" -d 'Show whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open, 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "check" -d 'Read the configuration and explain what it means. Exit: 2 if it has faults'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "rules" -d 'Print the exact rules of a state, in the format of iptables-restore'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "verify" -d 'Compare the rules in the kernel with the expected rules. Exit: 4 if they differ'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "prove" -d 'Compute from the kernel\'s own rules that no packet can leave in clear. Exit: 0 proven; 4 a packet can leave; 1 it could not be shown'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "why" -d 'Show what would happen to such a packet now, and which rule of which program decides. Exit: 0 it goes to the tunnel, the LAN or a VPN server; 3 refused; 4 it would leave in clear; 5 unknown'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "blocked" -d 'Show who was refused, where to, how often and why'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "pause" -d 'Open everything for a limited time: 90s, 5m, 1h30m'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "resume" -d 'End a pause immediately'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "reconnect" -d 'Reconnect a lost VPN: restart the VPN, then its network, then all networks'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "reload" -d 'Tell the agent to read its configuration again. Exit: 2 if it is refused'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "set" -d 'Change keys of the configuration, with its comments kept, and put it in force. Exit: 2 if it is refused'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "notify" -d 'Show notifications and an indicator in this desktop session (starts with the session)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "log" -d 'Show the log of the agent from the journal'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "version" -d 'Show the version of tunwarden and of the programs that it uses'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "hook" -d 'Called by OpenVPN and NetworkManager; always exits with 0'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "hosts" -d 'Started by systemd for the agent: writes pins to /etc/hosts'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and not __fish_seen_subcommand_from init doctor agent lock release status check rules verify prove why blocked pause resume reconnect reload set notify log version hook hosts help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "openvpn" -d 'Called for OpenVPN\'s up and down events; reads OpenVPN\'s environment'
complete -c tunwarden -n "__fish_tunwarden_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "dispatcher" -d 'Called by NetworkManager\'s dispatcher with an interface and an action'
