#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use super::*;

fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn only_nameserver_lines_count_and_never_loopback() {
    let text = "# nameserver 1.1.1.1\nsearch lan\nnameserver 127.0.0.53\nnameserver 10.0.0.1\n\
                nameserver\t2001:db8::53 \nnameserver ::1\nnameserver $(id)\nnameserver\noptions edns0\n\
                nameserver fe80::1%eth0\nnameserver 0.0.0.0\nnameserver 224.0.0.1\n";
    assert_eq!(parse(text).into_iter().collect::<BTreeSet<_>>(), ips(&["10.0.0.1", "2001:db8::53"]));
}

#[test]
fn the_number_of_resolvers_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let lines: String = (0..1000).map(|n| format!("nameserver 10.0.{}.{}\n", n / 250, n % 250 + 1)).collect();
    std::fs::write(root.path().join("etc/resolv.conf"), lines).unwrap();
    assert_eq!(look(root.path()).len(), MAX_RESOLVERS);
}

#[tokio::test]
async fn each_change_is_reported_once_and_a_stub_is_replaced_by_its_resolvers() {
    let root = tempfile::tempdir().unwrap();
    let at = |file: &str| root.path().join(file);
    for folder in ["etc", "run"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    std::fs::write(at("etc/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
    let (sender, mut events) = mpsc::channel(8);
    let task = tokio::spawn({
        let root = root.path().to_owned();
        async move { watch_in(&root, sender).await }
    });
    let mut next = async || match events.recv().await {
        Some(Event::Resolvers(resolvers)) => resolvers,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, ips(&[]));
    // The folder appears first, then the file in it.
    std::fs::create_dir_all(at("run/systemd/resolve")).unwrap();
    tokio::task::yield_now().await;
    std::fs::write(at("run/systemd/resolve/resolv.conf"), "nameserver 10.0.0.1\n").unwrap();
    assert_eq!(next().await, ips(&["10.0.0.1"]));
    // The file is written under another name and then renamed, as most programs do.
    std::fs::write(at("etc/new"), "nameserver 192.0.2.53\n").unwrap();
    std::fs::rename(at("etc/new"), at("etc/resolv.conf")).unwrap();
    assert_eq!(next().await, ips(&["10.0.0.1", "192.0.2.53"]));
    std::fs::remove_file(at("run/systemd/resolve/resolv.conf")).unwrap();
    assert_eq!(next().await, ips(&["192.0.2.53"]));
    drop(events);
    task.await.unwrap();
}
