//! Reading what another version has kept.

use super::*;

/// Adds a field that no version has to each object in the value.
fn with_unknown_fields(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(with_unknown_fields);
            fields.insert("of_another_version".to_owned(), true.into());
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(with_unknown_fields),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[test]
fn what_a_later_version_has_kept_is_read_without_its_new_fields() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("state"), folder.path());
    let text = r#"{"situation":{"state":"protected","paused_until":null,"bootstrap":{"endpoints":{},"any":false},
        "tunnels":[{"interface":"tun0","addresses":[],"carrying":true,"endpoint":null,"source":"openvpn",
        "name":"tun0","since":1}],"tunnel_addresses":[{"interface":"tun0","address":"10.8.0.2"}],
        "named_tunnels":null,"uplinks":[{"interface":"eth0","addresses":[],"prefixes":[]}],
        "wires":[{"interface":"eth0","index":2}],"bridges":[],"shut_out":[]},"since":1,
        "reports":[{"kind":"up","interface":"tun0","pid":7,"endpoint":null}],
        "heard":[{"at":1,"report":{"kind":"up","interface":"tun0","pid":7,"endpoint":null}}],
        "loss":{"name":"tun0","interface":"tun0","reason":"gone","seen_by":"links","at":1}}"#;
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    let known: Applied = serde_json::from_value(value.clone()).unwrap();
    assert_eq!((known.announced_state(), known.reports.len()), (State::Protected, 1));
    with_unknown_fields(&mut value);
    // This map has endpoints as its keys.
    value["situation"]["bootstrap"]["endpoints"] = serde_json::json!({});
    std::fs::write(folder.path().join(APPLIED), value.to_string()).unwrap();
    assert_eq!(store.applied().unwrap(), Some(known));
}
