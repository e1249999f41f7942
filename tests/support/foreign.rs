//! Rules of other tools in tables that tunwarden shares with them.

/// Rules like those of ufw: its own chains, reached by jumps at the end of the built-in chains.
pub const UFW: &str = "*filter
:ufw-before-output - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-user-input
-A OUTPUT -j ufw-before-output
-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -o eth0 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
";

/// Docker 20.10 with a rule of the user. It accepts in FORWARD itself, and DOCKER-USER ends with RETURN.
pub const DOCKER_20: &str = "*filter
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -s 192.0.2.7/32 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
COMMIT
";

/// Docker 28 with a rule of the user. It accepts in a chain of its own, and DOCKER-USER has no RETURN.
pub const DOCKER_28: &str = "*filter
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-USER -s 192.0.2.7/32 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
COMMIT
";

/// Rules that nft can add to tables of iptables and that iptables cannot print: the family, the table and
/// chain, the rule. For some, iptables-save omits the table and succeeds. For others it fails.
pub const UNPRINTABLE: [(&str, &str, &str); 9] = [
    ("ip", "filter INPUT", "ct mark set 7"),
    ("ip", "filter OUTPUT", "meta skuid 1000 counter"),
    ("ip", "filter FORWARD", "ct mark set 7"),
    ("ip", "filter DOCKER-USER", "meta skuid 1000 counter"),
    ("ip", "filter OUTPUT_VPN_KILL_SWITCH", "ct mark set 7"),
    ("ip", "mangle FORWARD", "ct mark set 7"),
    ("ip6", "filter OUTPUT", "ct mark set 7"),
    ("ip6", "filter INPUT", "meta skuid 1000 counter"),
    ("ip6", "mangle FORWARD", "ct mark set 7"),
];
