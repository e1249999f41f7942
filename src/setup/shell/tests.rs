use proptest::prelude::*;

use super::*;

/// Every firewall command that a script runs, with its words.
fn calls(script: &str) -> Vec<String> {
    let reading = read(script);
    assert_eq!(reading.unread, [], "{script}");
    reading.calls.iter().map(|call| call.words.join(" ")).collect()
}

/// The lines that are not understood, and why.
fn unread(script: &str) -> Vec<(usize, String)> {
    read(script).unread.into_iter().map(|unread| (unread.line, unread.why)).collect()
}

#[test]
fn values_that_only_a_run_shows_are_reported_and_not_guessed() {
    for (script, line, why) in [
        ("\niptables -A OUTPUT -p udp --dport $PORT -j ACCEPT", 2, "$PORT is not set"),
        ("P=$(cat /etc/port)\niptables -A OUTPUT --dport $P -j ACCEPT", 2, "$P is known only"),
        ("iptables -A OUTPUT --dport `cat p` -j ACCEPT", 1, "output of `cat p`"),
        ("iptables -A OUTPUT --dport $((1+2)) -j ACCEPT", 1, "known only"),
        ("$IPT -A OUTPUT -j ACCEPT", 1, "$IPT is not set"),
        ("for p in $(cat l); do iptables -A OUTPUT --dport $p -j ACCEPT; done", 1, "$p is known only"),
        ("while read p; do iptables -A OUTPUT --dport $p -j ACCEPT; done < l", 1, "$p is known only"),
        ("P=1\nif x; then P=2; fi\niptables -A OUTPUT --dport $P -j ACCEPT", 3, "$P is known only"),
        ("P=1\n. /etc/conf\niptables -A OUTPUT --dport $P -j ACCEPT", 2, "another file"),
        ("iptables -A OUTPUT -m comment --comment 'open", 1, "cannot be read from this line on"),
        ("if true; then\niptables -A OUTPUT -j ACCEPT", 2, "cannot be read"),
        ("nft add rule inet x y accept", 1, "nft"),
        ("ufw allow 22", 1, "ufw"),
    ] {
        let unread = unread(script);
        assert!(unread.iter().any(|(at, text)| *at == line && text.contains(why)), "{script}: {unread:?}");
    }
}

#[test]
fn variables_loops_and_functions_are_followed() {
    for (script, expected) in [
        ("IPT=/sbin/iptables\n$IPT -F", &["-F"][..]),
        ("IPT=$(which iptables)\n${IPT} -F", &["-F"]),
        ("export IPT=\"iptables -w\"; $IPT -F", &["-w -F"]),
        ("IPT=${IPT:-iptables}\n\"$IPT\" -F # all", &["-F"]),
        (
            "P='80 443'\nfor p in $P 22; do iptables -A O --dport $p; done",
            &["-A O --dport 80", "-A O --dport 443", "-A O --dport 22"],
        ),
        ("P=(80 443)\nfor p in \"${P[@]}\"\ndo\n iptables --dport=$p\ndone", &["--dport=80", "--dport=443"]),
        ("#!/bin/bash\nfor p in {1..2} {a,b}; do iptables $p; done", &["1", "2", "a", "b"]),
        ("for a in 1 2; do for b in x y; do iptables $a$b; done; done", &["1x", "1y", "2x", "2y"]),
        ("add() { $1; }\nadd \"iptables -N X\"", &["-N X"]),
        (
            "function allow {\n iptables -A O -p \"$1\" --dport \"${2}\"\n}\nallow tcp 80",
            &["-A O -p tcp --dport 80"],
        ),
        (
            "run() { echo \"$@\"; \"$@\"; }\nrun iptables -m comment --comment 'a b'",
            &["-m comment --comment a b"],
        ),
        ("iptables -A O \\\n  -j ACCEPT 2>/dev/null || true", &["-A O -j ACCEPT"]),
        ("iptables -F; iptables -X && iptables -Z", &["-F", "-X", "-Z"]),
        ("sudo /usr/sbin/iptables-nft -F > /dev/null 2>&1 &", &["-F"]),
        ("sh -c 'iptables -F; iptables -X'", &["-F", "-X"]),
        ("eval \"iptables -F\"", &["-F"]),
        ("cmd='iptables -F'\n# iptables -X\n$cmd", &["-F"]),
        (
            "iptables -A O -m comment --comment \"it's # ; not\" -j ACCEPT",
            &["-A O -m comment --comment it's # ; not -j ACCEPT"],
        ),
        // Commands after the end are listed too, but do not run.
        ("iptables -F\nexit 0\niptables -X", &["-F", "-X"]),
        ("xtables-nft-multi iptables -F", &["-F"]),
    ] {
        assert_eq!(calls(script), expected, "{script}");
    }
}

#[test]
fn a_command_under_a_condition_is_not_certain() {
    let certain = |script: &str| {
        let reading = read(script);
        assert_eq!(
            reading.calls.iter().filter(|call| call.words == ["-F"]).count(),
            1,
            "{script}: {reading:?}"
        );
        reading.calls.iter().any(|call| call.words == ["-F"] && call.certainty == Certainty::Certain)
    };
    for script in [
        "if [ -f x ]; then iptables -F; fi",
        "if x; then y; elif z; then iptables -F; else w; fi",
        "[ -f x ] && iptables -F",
        "false && iptables -F",
        "true || iptables -F",
        "while true; do iptables -F; done",
        "case \"$1\" in stop) iptables -F;; esac",
        "case $2 in start) iptables -F;; esac",
        "x() { if y; then iptables -F; fi; }\nx",
    ] {
        assert!(!certain(script), "{script}");
    }
    for script in [
        "iptables -N X || true; iptables -F",
        "iptables -X && iptables -F",
        "iptables -C X -j Y || iptables -F",
        "if ! iptables -C X -j Y 2>/dev/null; then iptables -F; fi",
        "case \"$1\" in\n start|restart) iptables -F ;;\n stop) ;;\n *) echo usage; exit 1 ;;\nesac",
        "M=on\ncase $M in on) iptables -F;; off) iptables -X;; esac",
        "( iptables -F )",
        "{ iptables -F; } 2>/dev/null",
    ] {
        assert!(certain(script), "{script}");
    }
}

#[test]
fn here_documents_and_files_are_read_by_restore() {
    let input = |script: &str| read(script).calls.pop().map(|call| call.input);
    let text = |text: &str| Some(Input::Text(text.to_owned()));
    assert_eq!(input("iptables-restore <<EOF\n*filter\nCOMMIT\nEOF\n"), text("*filter\nCOMMIT\n"));
    assert_eq!(input("P=80\niptables-restore <<-EOF\n\t-A X $P\n\tEOF\n"), text("-A X 80"));
    assert_eq!(input("iptables-restore < /etc/rules"), Some(Input::File("/etc/rules".to_owned())));
    assert_eq!(input("cat /etc/rules | iptables-restore"), Some(Input::File("/etc/rules".to_owned())));
    assert_eq!(input("echo '*filter' | iptables-restore"), text("*filter\n"));
}

/// Six functions. Each of them calls the next one a thousand times.
fn calling_each_other() -> String {
    let function = |n: usize| format!("f{n}() {{ {} }}\n", format!("f{};", n + 1).repeat(1000));
    let functions: String = (1..6).map(function).collect();
    functions + "f6() { true; }\nwhile read p; do f1; done <<< x"
}

#[test]
fn a_hostile_script_is_read_in_bounded_time() {
    let deep = |open: &str, close: &str| format!("{}x{}", open.repeat(5_000), close.repeat(5_000));
    for script in [
        deep("if a; then ", "; fi"),
        deep("(", ")"),
        deep("{ ", ";}"),
        deep("$(", ")"),
        "f() { f; f; }\nf".to_owned(),
        "A=x\nfor a in 1 2 3 4 5 6 7 8 9 0; do for b in 1 2 3 4 5 6 7 8 9 0; do for c in {1..2000}; do A=$A$A; \
         iptables $A; done; done; done"
            .to_owned(),
        "iptables -A X\n".repeat(15_000),
        "for a in {1..2048}; do for b in {1..2048}; do for c in {1..2048}; do case x in esac; done; done; done"
            .to_owned(),
        calling_each_other(),
        "'".to_owned(),
        "<<".to_owned(),
        "case x in".to_owned(),
        "x".repeat(MAX_BYTES + 1),
    ] {
        let reading = read(&script);
        assert!(reading.calls.len() <= MAX_COMMANDS && reading.unread.len() <= MAX_UNREAD);
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn no_order_of_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "if", "then", "fi", "else", "elif", "for", "in", "do", "done", "case", "esac", "while", "{", "}", "(", ")",
        ";", ";;", "\n", "&&", "||", "|", "<<", "<", ">", "$", "${", "$(", "`", "\"", "'", "\\", "A=1", "$A", "$@",
        "f()", "f", "iptables", "-A", "iptables-restore", "eval", "[[", "((", "#", "EOF", "é", "A=(", "${A[@]}",
    ]), 0..60)) {
        read(&words.join(" "));
        read(&words.concat());
    }
}
