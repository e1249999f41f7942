#!/bin/bash
# The article's chain, with rule 1 replaced "with a series of port specific output rules" as it says:
# those of its script for the host.
iptables -N DOCKER_VPN_KILL_SWITCH
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p tcp --dport 443 -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p tcp --dport 80 -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p tcp --dport 22 -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p tcp --dport 53 -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p udp --dport 123 -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -o tun+ -p icmp -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -i tun+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A DOCKER_VPN_KILL_SWITCH -j DROP
iptables -I DOCKER-USER 1 -j DOCKER_VPN_KILL_SWITCH
